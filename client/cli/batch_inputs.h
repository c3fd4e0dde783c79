// The files that `quern batch` works on, one after the other, read no further ahead than asked: words of the command
// line, what a pattern matches, what lies in a directory, names in a file or a pipe.
//
// What is no file comes too, with the reason why it is refused, so that it is told in its place. take() blocks, and is
// called by one thread at a time; stop() by any. Memory: the matches of one pattern (glob(3) finds them at once), a
// directory's iterator a level, and one name.
#pragma once

#include <glob.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"

namespace quern::cli {

struct BatchInput {
  std::string path{};
  std::string folder{};            // where its output goes below the output directory: that of a file in a directory
  std::optional<Error> refused{};  // why it is no input
};

struct InputOptions {
  std::span<const std::string> words{};
  std::optional<std::string> from{};
  char separator = '\n';
  bool recursive = false;
  std::string outputs{};  // a directory that recursion does not go into
};

// Names in a file or a pipe. A wait for the next one ends when `stop` becomes readable.
class NameReader {
 public:
  NameReader(std::string source, unique_fd names, char separator, int stop) noexcept
      : source_(std::move(source)), names_(std::move(names)), separator_(separator), stop_(stop) {}
  [[nodiscard]] const std::string& source() const noexcept { return source_; }
  // Nothing at the end. An Error for a name that no path can have; the next call goes on behind it.
  [[nodiscard]] std::optional<Result<std::string>> next();

 private:
  [[nodiscard]] std::optional<Result<std::string>> take_until(std::size_t end, std::size_t separators);
  [[nodiscard]] Result<bool> read_more();

  std::string source_;
  unique_fd names_;
  char separator_;
  int stop_;
  std::string read_{};
  bool too_long_ = false;  // the name whose end is being looked for
  bool ended_ = false;
};

class InputSource {
 public:
  // Fails when the file of names can't be opened.
  [[nodiscard]] static Result<std::unique_ptr<InputSource>> open(const InputOptions& options);

  struct Taken {
    std::optional<BatchInput> input{};  // nothing: that was all, or stop() was called
    std::uint64_t known = 0;            // how many there are at least, those that were taken before included
    bool all_known = false;             // and there are no more
  };
  [[nodiscard]] Taken take();
  // take() returns nothing from now on, also one that waits for a name.
  void stop() noexcept;

 private:
  struct Level {  // a directory that is being walked
    std::filesystem::directory_iterator at{};
    std::string folder{};
  };
  // What glob(3) found.
  class Matches {
   public:
    Matches() = default;
    explicit Matches(const std::string& pattern);
    [[nodiscard]] std::size_t left() const noexcept { return found_ ? found_->gl_pathc - at_ : 0; }
    std::string take() { return found_->gl_pathv[at_++]; }

   private:
    struct Free {
      void operator()(glob_t* found) const noexcept;
    };
    std::unique_ptr<glob_t, Free> found_{};
    std::size_t at_ = 0;
  };

  InputSource(const InputOptions& options, unique_fd stop) noexcept;

  [[nodiscard]] std::optional<BatchInput> next();
  [[nodiscard]] std::optional<BatchInput> next_word();
  [[nodiscard]] std::optional<BatchInput> next_name(NameReader& names);
  [[nodiscard]] std::optional<BatchInput> walk();
  [[nodiscard]] std::optional<BatchInput> accept(std::string path);
  [[nodiscard]] std::optional<BatchInput> enter(const std::string& directory, std::string folder);

  InputOptions options_;
  unique_fd stop_;  // an eventfd
  std::atomic<bool> stopped_ = false;
  std::size_t next_word_ = 0;
  std::size_t open_words_ = 0;  // up to here, words may stand for any number of files
  Matches matches_{};
  std::vector<Level> levels_{};
  std::optional<NameReader> names_{};
  std::uint64_t taken_ = 0;
};

}  // namespace quern::cli
