// Names for code addresses: the template's answer about a stack of one of its workers, whose address
// space is laid out as its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace quern::worker {

// A line each, in their order, of at most 400 bytes: "image.so(quern::image::decode(...)+0x1f)", or
// "image.so+0x41f0" where no exported symbol covers the address (addr2line -e takes the offset), or
// "0x7f..." where nothing is mapped from a file. The first address is where the code is, the others
// are return addresses: their names are of the call before them. At most ipc::kStackFramesMax are named.
// Any number is safe to ask about.
[[nodiscard]] std::string symbolize(std::span<const std::uint64_t> addresses);

}  // namespace quern::worker
