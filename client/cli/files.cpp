#include "client/cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <utility>

#include "ipc/wire.h"

namespace quern::cli {

Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("write", path, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

bool is_text(std::span<const std::byte> bytes) {
  constexpr std::size_t kSampleBytes = 4096;
  return std::ranges::none_of(bytes.first(std::min(bytes.size(), kSampleBytes)), [](std::byte b) {
    const auto c = static_cast<unsigned char>(b);
    return (c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f;
  });
}

Error binary_on_terminal() {
  return Error{.code = ErrorCode::kInvalidArgument,
               .message = "the result is binary and standard output is a terminal; give -o FILE, or redirect"};
}

namespace {

Error input_error(std::string_view what, const std::string& path) {
  return Error{
      .code = ErrorCode::kInvalidArgument,
      .message = fmt::format("{} {}: {}", what, path == "-" ? "standard input" : path, ::strerrordesc_np(errno)),
      .field = "input"};
}

Error input_error(std::string_view what, const std::string& path, const Error& why) {
  return Error{.code = why.code,
               .message = fmt::format("{} {}: {}", what, path == "-" ? "standard input" : path, why.message),
               .field = "input"};
}

// What whoever gave -o can mend is no bug of ours, and is said with the way to mend it.
Error output_error(const std::string& path, int reason) {
  namespace fs = std::filesystem;
  constexpr auto kMendable = std::to_array({ENOENT, ENOTDIR, EACCES, EPERM, EROFS, ELOOP, ENAMETOOLONG});
  if (std::ranges::find(kMendable, reason) == kMendable.end())
    return system_error("create a file beside", path, reason);
  const std::string directory = fs::path(path).parent_path().string();
  std::error_code ignored;
  const bool is_missing = reason == ENOENT && !directory.empty() && !fs::exists(directory, ignored);
  return Error{.code = ErrorCode::kInvalidArgument,
               .message = is_missing
                              ? fmt::format("can't write {}: there is no directory {}; make it first", path, directory)
                              : fmt::format("can't write {}: {}", path, ::strerrordesc_np(reason)),
               .field = "output"};
}

ssize_t read_some(int fd, std::span<std::byte> into) {
  ssize_t n = 0;
  do {
    n = ::read(fd, into.data(), into.size());
  } while (n < 0 && errno == EINTR);
  return n;
}

Result<void> replace_file(const std::string& path, std::span<const std::byte> bytes) {
  auto file = ReplacedFile::open(path);
  if (!file) return file.error();
  if (!*file) {  // /dev/null, a pipe
    const unique_fd out(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return out ? write_all(out.get(), bytes, path) : Result<void>(system_error("open", path, errno));
  }
  if (auto written = write_all((*file)->fd(), bytes, path); !written) return written;
  return (*file)->replace();
}

Error needs_a_directory(std::size_t parts) {
  return Error{.code = ErrorCode::kInvalidArgument,
               .message = fmt::format("the result has {} parts; give an existing directory with -o DIR", parts)};
}

Result<void> write_standard_output(const std::vector<client::ResultPart>& parts) {
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  const bool text = std::ranges::all_of(parts, [](const auto& part) { return is_text(part.bytes()); });
  if (!text && parts.size() > 1) return needs_a_directory(parts.size());
  if (!text && terminal) return binary_on_terminal();
  for (const auto& part : parts) {
    if (auto written = write_all(STDOUT_FILENO, part.bytes(), "standard output"); !written) return written;
    // on a terminal the prompt should not follow a hash on its line
    const auto newline = std::as_bytes(std::span("\n", 1));
    if (terminal && !part.text().ends_with('\n')) (void)write_all(STDOUT_FILENO, newline, "standard output");
  }
  return {};
}

// A part's name comes from a worker: only its last component is believed, and no name is used twice.
Result<void> write_directory(const std::string& directory, const std::vector<client::ResultPart>& parts) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::string name = std::filesystem::path(parts[i].name()).filename().string();
    if (name.empty() || name == "." || name == "..") name = fmt::format("part-{}", i);
    if (!names.insert(name).second) name = fmt::format("part-{}-{}", i, name);
    if (auto written = replace_file(fmt::format("{}/{}", directory, name), parts[i].bytes()); !written) return written;
  }
  return {};
}

}  // namespace

ReplacedFile::ReplacedFile(std::string target, std::string temporary, unique_fd fd) noexcept
    : target_(std::move(target)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}

ReplacedFile::~ReplacedFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<std::unique_ptr<ReplacedFile>> ReplacedFile::open(const std::string& path) {
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) return std::unique_ptr<ReplacedFile>();
  // through a symbolic link: the file it names is replaced, not the link
  std::string target = exists ? std::filesystem::canonical(path).string() : path;
  std::string temporary = target + ".XXXXXX";
  unique_fd out(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!out) return output_error(path, errno);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  (void)::fchmod(out.get(), exists ? info.st_mode & 07777 : 0666 & ~mask);
  return std::unique_ptr<ReplacedFile>(new ReplacedFile(std::move(target), std::move(temporary), std::move(out)));
}

Result<void> ReplacedFile::replace() {
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return system_error("rename to", target_, errno);
  temporary_.clear();
  return {};
}

Result<client::Part> read_input(const std::string& path) {
  const bool standard = path == "-";
  const unique_fd file(standard ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return input_error("can't open", path);
  std::string name = standard ? "" : std::filesystem::path(path).filename().string().substr(0, wire::kPartNameBytesMax);

  std::vector<std::byte> head(client::kInlineBytesMax + 1);
  std::size_t held = 0;
  while (held < head.size()) {
    const ssize_t n = read_some(file.get(), std::span(head).subspan(held));
    if (n < 0) return input_error("can't read", path);
    if (n == 0) return client::Part::copy(std::span(head).first(held), std::move(name));
    held += static_cast<std::size_t>(n);
  }
  auto memfd = client::read_to_memfd(file.get(), head);
  if (!memfd) return input_error("can't read", path, memfd.error());
  return client::Part::sealed(std::move(*memfd), std::move(name));
}

Result<void> write_output(const std::string& output, const std::vector<client::ResultPart>& parts) {
  if (output == "-") return write_standard_output(parts);
  std::error_code ignored;
  if (std::filesystem::is_directory(output, ignored)) return write_directory(output, parts);
  if (parts.size() == 1) return replace_file(output, parts.front().bytes());
  return needs_a_directory(parts.size());
}

}  // namespace quern::cli
