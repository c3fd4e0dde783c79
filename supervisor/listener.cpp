#include "supervisor/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace quern::supervisor {

Result<RuntimeDirectory> RuntimeDirectory::acquire(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return system_error("mkdir", path, errno);
  const std::string lock_path = path + "/quern.lock";
  unique_fd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return system_error("open", lock_path, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_error("flock", lock_path, errno);
    return Error{
        .code = ErrorCode::kUnavailable,
        .message = fmt::format("another quernd is running in {}; stop it, or choose another --runtime-dir", path)};
  }
  return RuntimeDirectory(path, std::move(lock));
}

Result<boost::asio::local::stream_protocol::acceptor> listen_on(boost::asio::io_context& io,
                                                                const ListenOptions& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options.path.size() >= sizeof address.sun_path) {
    return Error{
        .code = ErrorCode::kInvalidArgument,
        .message = fmt::format("{} is longer than the {} bytes a socket's path may have; choose a shorter runtime "
                               "directory",
                               options.path, sizeof address.sun_path - 1),
        .field = "server.runtime_dir"};
  }
  std::memcpy(address.sun_path, options.path.c_str(), options.path.size());

  unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return system_error("socket", options.path, errno);
  if (::unlink(options.path.c_str()) != 0 && errno != ENOENT) return system_error("unlink", options.path, errno);
  const mode_t before = ::umask(0777);  // nobody connects before mode and group are right
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_failure = errno;
  ::umask(before);
  if (bound != 0) return system_error("bind", options.path, bind_failure);
  if (!options.group.empty()) {
    const group* entry = ::getgrnam(options.group.c_str());
    if (entry == nullptr) {
      return Error{.code = ErrorCode::kInvalidArgument,
                   .message = fmt::format("there is no group '{}'", options.group),
                   .field = "server.socket_group"};
    }
    if (::chown(options.path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
      return system_error("chown", options.path, errno);
    }
  }
  if (::chmod(options.path.c_str(), options.mode) != 0) return system_error("chmod", options.path, errno);
  if (::listen(fd.get(), SOMAXCONN) != 0) return system_error("listen", options.path, errno);
  return boost::asio::local::stream_protocol::acceptor(io, boost::asio::local::stream_protocol(), fd.release());
}

}  // namespace quern::supervisor
