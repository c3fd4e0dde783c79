#include "tests/integration/hanging_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

namespace quern::test {
namespace {

constexpr std::uint64_t kFileNode = 2;
constexpr std::size_t kRequestBytesMax = FUSE_MIN_READ_BUFFER + (128U << 10);

fuse_attr attributes(std::uint64_t node) {
  fuse_attr attr{};
  attr.ino = node;
  attr.mode = node == kFileNode ? S_IFREG | 0666 : S_IFDIR | 0777;
  attr.nlink = 1;
  attr.size = node == kFileNode ? 10 : 0;
  return attr;
}

void answer(int device, std::uint64_t unique, int error, std::span<const std::byte> body = {}) {
  fuse_out_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  header.error = -error;
  header.unique = unique;
  std::vector<std::byte> out(header.len);
  std::memcpy(out.data(), &header, sizeof header);
  if (!body.empty()) std::memcpy(out.data() + sizeof header, body.data(), body.size());
  (void)::write(device, out.data(), out.size());
}

template <class Body>
void answer_with(int device, std::uint64_t unique, const Body& body) {
  answer(device, unique, 0, std::as_bytes(std::span(&body, 1)));
}

void answer_init(int device, const fuse_in_header& request, const std::byte* body) {
  fuse_init_in theirs{};
  std::memcpy(&theirs, body, sizeof theirs);
  fuse_init_out ours{};
  ours.major = FUSE_KERNEL_VERSION;
  ours.minor = std::min<std::uint32_t>(theirs.minor, FUSE_KERNEL_MINOR_VERSION);
  ours.max_readahead = theirs.max_readahead;
  ours.max_write = 128U << 10;
  answer_with(device, request.unique, ours);
}

}  // namespace

bool HangingFile::possible() {
  if (::geteuid() != 0 || ::access("/dev/fuse", R_OK | W_OK) != 0) return false;
  char path[] = "/tmp/quern-fuse.XXXXXX";
  if (::mkdtemp(path) == nullptr) return false;
  const unique_fd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  const std::string options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", device.get());
  const bool mounted = device && ::mount("quern-test", path, "fuse", MS_NOSUID | MS_NODEV, options.c_str()) == 0;
  if (mounted) ::umount2(path, MNT_DETACH);
  ::rmdir(path);
  return mounted;
}

HangingFile::HangingFile() {
  char path[] = "/tmp/quern-fuse.XXXXXX";
  directory_ = ::mkdtemp(path);
  device_ = unique_fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  const std::string options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device_.get());
  EXPECT_EQ(::mount("quern-test", directory_.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()), 0);
  thread_ = std::thread([this] { serve(); });
  file_ = unique_fd(::open((directory_ + "/file").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(file_) << strerror(errno);
}

// The forced unmount ends the thread's read, and every wait, with an error.
HangingFile::~HangingFile() {
  ::umount2(directory_.c_str(), MNT_FORCE | MNT_DETACH);
  thread_.join();
  device_.reset();
  file_.reset();
  ::rmdir(directory_.c_str());
}

void HangingFile::serve() {
  std::vector<std::byte> buffer(kRequestBytesMax);
  for (;;) {
    const ssize_t n = ::read(device_.get(), buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
    if (n < static_cast<ssize_t>(sizeof(fuse_in_header))) return;
    fuse_in_header request{};
    std::memcpy(&request, buffer.data(), sizeof request);
    switch (request.opcode) {
      case FUSE_INIT: answer_init(device_.get(), request, buffer.data() + sizeof request); break;
      case FUSE_LOOKUP: {
        fuse_entry_out entry{};
        entry.nodeid = kFileNode;
        entry.attr = attributes(kFileNode);
        answer_with(device_.get(), request.unique, entry);
        break;
      }
      case FUSE_GETATTR: {
        if (entirely_ && request.nodeid == kFileNode) {
          ++waiting_;
          break;
        }
        fuse_attr_out attr{};
        attr.attr = attributes(request.nodeid);
        answer_with(device_.get(), request.unique, attr);
        break;
      }
      case FUSE_OPEN: answer_with(device_.get(), request.unique, fuse_open_out{}); break;
      case FUSE_FLUSH: ++waiting_; break;
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT: break;  // want no answer
      default: answer(device_.get(), request.unique, ENOSYS);
    }
  }
}

}  // namespace quern::test
