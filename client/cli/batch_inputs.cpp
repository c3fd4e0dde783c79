#include "client/cli/batch_inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "client/cli/job_arguments.h"

namespace quern::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = 65536;

bool is_pattern(std::string_view word) { return word.find_first_of("*?[") != std::string_view::npos; }

BatchInput refused(std::string path, std::string message) {
  return {.path = std::move(path), .refused = usage_error(std::move(message), "input")};
}

}  // namespace

// ---- Names

Result<bool> NameReader::read_more() {
  pollfd sources[] = {{.fd = names_.get(), .events = POLLIN, .revents = 0},
                      {.fd = stop_, .events = POLLIN, .revents = 0}};
  while (::poll(sources, 2, -1) < 0) {
    if (errno != EINTR) return system_error("poll", source_, errno);
  }
  if (sources[1].revents != 0) return false;
  const std::size_t before = read_.size();
  read_.resize(before + kReadBytes);
  ssize_t n = 0;
  do {
    n = ::read(names_.get(), read_.data() + before, kReadBytes);
  } while (n < 0 && errno == EINTR);
  const int failure = errno;
  read_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0) return system_error("read", source_, failure);
  return n > 0;
}

std::optional<Result<std::string>> NameReader::take_until(std::size_t end, std::size_t separators) {
  std::string name = read_.substr(0, end);
  read_.erase(0, end + separators);
  if (!std::exchange(too_long_, false) && name.size() < PATH_MAX) return name;
  return usage_error(fmt::format("a name of {} bytes and more is no path: '{}...'", PATH_MAX, name.substr(0, 40)));
}

std::optional<Result<std::string>> NameReader::next() {
  for (std::size_t looked = 0; !ended_;) {
    const auto end = read_.find(separator_, looked);
    if (end == 0 && !too_long_) {  // an empty line
      read_.erase(0, 1);
      looked = 0;
      continue;
    }
    if (end != std::string::npos) return take_until(end, 1);
    if (read_.size() >= PATH_MAX) {
      too_long_ = true;
      read_.resize(PATH_MAX);
    }
    looked = read_.size();
    const auto more = read_more();
    ended_ = !more || !*more;
    if (!more) return more.error();
  }
  if (read_.empty()) return std::nullopt;
  return take_until(read_.size(), 0);
}

// ---- Patterns

void InputSource::Matches::Free::operator()(glob_t* found) const noexcept {
  ::globfree(found);
  delete found;
}

InputSource::Matches::Matches(const std::string& pattern) : found_(new glob_t{}) {
  if (::glob(pattern.c_str(), 0, nullptr, found_.get()) != 0) found_.reset();
}

// ---- All of them

InputSource::InputSource(const InputOptions& options, unique_fd stop) noexcept
    : options_(options), stop_(std::move(stop)) {
  const auto& words = options_.words;
  const auto last_open = std::ranges::find_if(
      words.rbegin(), words.rend(),
      options_.recursive ? [](const std::string&) { return true; }
                         : [](const std::string& word) { return is_pattern(word); });
  open_words_ = static_cast<std::size_t>(words.rend() - last_open);
}

Result<std::unique_ptr<InputSource>> InputSource::open(const InputOptions& options) {
  unique_fd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return system_error("eventfd", "", errno);
  const int stop_fd = stop.get();
  std::unique_ptr<InputSource> source(new InputSource(options, std::move(stop)));
  if (!options.from) return source;
  unique_fd names(*options.from == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                       : ::open(options.from->c_str(), O_RDONLY | O_CLOEXEC));
  if (!names) {
    return usage_error(fmt::format("can't read names from {}: {}", *options.from, ::strerrordesc_np(errno)), "from");
  }
  source->names_.emplace(*options.from, std::move(names), options.separator, stop_fd);
  return source;
}

void InputSource::stop() noexcept {
  stopped_ = true;
  (void)::eventfd_write(stop_.get(), 1);
}

InputSource::Taken InputSource::take() {
  Taken taken{.input = next()};
  if (taken.input) ++taken_;
  taken.known = taken_ + matches_.left() + (options_.words.size() - next_word_);
  taken.all_known = !names_ && levels_.empty() && next_word_ >= open_words_;
  return taken;
}

std::optional<BatchInput> InputSource::next() {
  while (!stopped_) {
    std::optional<BatchInput> found;
    if (!levels_.empty()) {
      found = walk();
    } else if (matches_.left() > 0) {
      found = accept(matches_.take());
    } else if (next_word_ < options_.words.size()) {
      found = next_word();
    } else if (names_) {
      found = next_name(*names_);
    } else {
      return std::nullopt;
    }
    if (found && !stopped_) return found;
  }
  return std::nullopt;
}

std::optional<BatchInput> InputSource::next_word() {
  const std::string& word = options_.words[next_word_++];
  std::error_code ignored;
  if (!is_pattern(word) || fs::exists(fs::symlink_status(word, ignored))) return accept(word);
  matches_ = Matches(word);
  return matches_.left() > 0 ? std::nullopt : std::optional(refused(word, "no file matches"));
}

std::optional<BatchInput> InputSource::next_name(NameReader& names) {
  const auto name = names.next();
  if (!name) {
    names_.reset();
    return std::nullopt;
  }
  if (!*name) return BatchInput{.path = names.source(), .refused = name->error()};
  return accept(**name);
}

std::optional<BatchInput> InputSource::accept(std::string path) {
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (fs::is_directory(status)) {
    if (options_.recursive) return enter(path, "");
    return refused(std::move(path), "it is a directory; --recursive takes the files in it");
  }
  if (fs::is_regular_file(status)) return BatchInput{.path = std::move(path)};
  const bool there = fs::exists(status);
  return refused(std::move(path), there ? "it is no regular file" : failure ? failure.message() : "it is not there");
}

// ---- Directories

std::optional<BatchInput> InputSource::enter(const std::string& directory, std::string folder) {
  std::error_code failure;
  if (fs::equivalent(directory, options_.outputs, failure)) return std::nullopt;
  Level level{.at = fs::directory_iterator(directory, failure), .folder = std::move(folder)};
  if (failure) return refused(directory, fmt::format("can't read the directory: {}", failure.message()));
  levels_.push_back(std::move(level));
  return std::nullopt;
}

// Links to directories are not followed, so there is no way round in circles. What is hidden stays so.
std::optional<BatchInput> InputSource::walk() {
  Level& level = levels_.back();
  if (level.at == fs::directory_iterator()) {
    levels_.pop_back();
    return std::nullopt;
  }
  const fs::directory_entry entry = *level.at;
  const std::string folder = level.folder;
  std::error_code failure;
  level.at.increment(failure);
  const std::string name = entry.path().filename().string();
  if (name.starts_with(".")) return std::nullopt;
  std::error_code ignored;
  if (fs::is_directory(entry.symlink_status(ignored))) {
    return enter(entry.path().string(), folder.empty() ? name : folder + "/" + name);
  }
  if (!entry.is_regular_file(ignored)) return std::nullopt;
  return BatchInput{.path = entry.path().string(), .folder = folder};
}

}  // namespace quern::cli
