#include "client/cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "ipc/memfd.h"
#include "ipc/wire.h"

namespace quern::cli {
namespace {

// How much of a result is looked at to tell text from binary.
constexpr std::size_t kSampleBytes = 4096;

Error input_error(std::string_view what, const std::string& path) {
  return Error{
      .code = ErrorCode::kInvalidArgument,
      .message = fmt::format("{} {}: {}", what, path == "-" ? "standard input" : path, ::strerrordesc_np(errno)),
      .field = "input"};
}

ssize_t read_some(int fd, std::span<std::byte> into) {
  ssize_t n = 0;
  do {
    n = ::read(fd, into.data(), into.size());
  } while (n < 0 && errno == EINTR);
  return n;
}

Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("write", path, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

// The rest of `file` into `memfd`; by read and write where sendfile can't (a terminal).
Result<void> pour(int file, int memfd, std::span<std::byte> scratch, const std::string& path) {
  constexpr std::size_t kAtOnce = 1U << 30;
  for (;;) {
    const ssize_t sent = ::sendfile(memfd, file, nullptr, kAtOnce);
    if (sent == 0) return {};
    if (sent > 0 || errno == EINTR) continue;
    if (errno != EINVAL && errno != ENOSYS) return input_error("can't read", path);
    const ssize_t n = read_some(file, scratch);
    if (n < 0) return input_error("can't read", path);
    if (n == 0) return {};
    if (auto written = write_all(memfd, scratch.first(static_cast<std::size_t>(n)), "memfd"); !written) return written;
  }
}

Result<void> replace_file(const std::string& path, std::span<const std::byte> bytes) {
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) {  // /dev/null, a pipe
    const unique_fd out(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return out ? write_all(out.get(), bytes, path) : Result<void>(system_error("open", path, errno));
  }
  // through a symbolic link: the file it names is replaced, not the link
  const std::string target = exists ? std::filesystem::canonical(path).string() : path;
  std::string temporary = target + ".XXXXXX";
  const unique_fd out(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!out) return system_error("create a file beside", target, errno);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  (void)::fchmod(out.get(), exists ? info.st_mode & 07777 : 0666 & ~mask);
  auto written = write_all(out.get(), bytes, temporary);
  if (written && ::rename(temporary.c_str(), target.c_str()) != 0) written = system_error("rename to", target, errno);
  if (!written) ::unlink(temporary.c_str());
  return written;
}

bool is_text(std::span<const std::byte> bytes) {
  return std::ranges::none_of(bytes.first(std::min(bytes.size(), kSampleBytes)), [](std::byte b) {
    const auto c = static_cast<unsigned char>(b);
    return (c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f;
  });
}

Result<void> write_standard_output(const std::vector<client::ResultPart>& parts) {
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  for (const auto& part : parts) {
    if (terminal && !is_text(part.bytes())) {
      return Error{.code = ErrorCode::kInvalidArgument,
                   .message = "the result is binary and standard output is a terminal; give -o FILE, or redirect"};
    }
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
  auto memfd = ipc::create_memfd("input", 0);
  if (!memfd) return memfd.error();
  if (auto written = write_all(memfd->get(), head, "memfd"); !written) return written.error();
  if (auto poured = pour(file.get(), memfd->get(), head, path); !poured) return poured.error();
  if (auto sealed = ipc::seal_contents(memfd->get()); !sealed) return sealed.error();
  return client::Part::sealed(std::move(*memfd), std::move(name));
}

Result<void> write_output(const std::string& output, const std::vector<client::ResultPart>& parts) {
  if (output == "-") return write_standard_output(parts);
  std::error_code ignored;
  if (std::filesystem::is_directory(output, ignored)) return write_directory(output, parts);
  if (parts.size() == 1) return replace_file(output, parts.front().bytes());
  return Error{.code = ErrorCode::kInvalidArgument,
               .message = fmt::format("the result has {} parts; give an existing directory with -o DIR", parts.size())};
}

}  // namespace quern::cli
