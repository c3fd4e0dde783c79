// What `quern run --stream` does with a result while it is made: standard output, as it comes.
#pragma once

#include <cstddef>
#include <span>

#include "common/error.h"

namespace quern::cli {

// One thread at a time.
class StreamedOutput {
 public:
  StreamedOutput();
  // False: no more can be written, and end() says why.
  [[nodiscard]] bool write(std::span<const std::byte> piece);
  [[nodiscard]] const Result<void>& end();
  [[nodiscard]] bool on_terminal() const noexcept { return terminal_; }

 private:
  bool terminal_;
  std::byte last_{'\n'};
  Result<void> written_{};
};

}  // namespace quern::cli
