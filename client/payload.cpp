#include "client/payload.h"

#include <utility>

namespace quern::client {

Part Part::copy(std::span<const std::byte> bytes, std::string name) {
  Part part;
  part.name_ = std::move(name);
  if (bytes.size() <= kInlineBytesMax) {
    part.bytes_.assign(bytes.begin(), bytes.end());
    return part;
  }
  auto memfd = ipc::memfd_from("input", bytes);
  if (memfd) {
    part.fd_ = std::make_shared<unique_fd>(std::move(*memfd));
  } else {
    part.error_ = std::make_shared<Error>(memfd.error());
  }
  return part;
}

Part Part::sealed(unique_fd memfd, std::string name) {
  Part part;
  part.name_ = std::move(name);
  part.fd_ = std::make_shared<unique_fd>(std::move(memfd));
  return part;
}

}  // namespace quern::client
