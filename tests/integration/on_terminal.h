// `quern` on a pseudo-terminal of its own: what a person sees, types and resizes.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/integration/server.h"

namespace quern::test {

class OnTerminal {
 public:
  // `quern` with this server's directory. It is killed at the end, if it still runs.
  OnTerminal(const Server& server, const std::vector<std::string>& arguments, const char* term = "xterm");
  ~OnTerminal();
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  // Reads until `word` was written, or the end.
  bool shows(std::string_view word);
  // All that was written since the last forget().
  [[nodiscard]] const std::string& seen() const { return seen_; }
  void forget() { seen_.clear(); }
  void type(char key) const;
  void resize(unsigned short rows, unsigned short columns) const;
  // Throws after its end.
  void signal(int number) const;
  // Waits for its end, and reads what it wrote until then.
  int exit_code();

 private:
  bool read();  // false at the end

  int terminal_ = -1;
  pid_t pid_ = -1;
  std::string seen_;
};

}  // namespace quern::test
