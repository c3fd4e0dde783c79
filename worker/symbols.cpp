#include "worker/symbols.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "ipc/channel.h"
#include "worker/job_error.h"

namespace quern::worker {
namespace {

constexpr std::size_t kNameBytesMax = 300;
constexpr std::size_t kFileBytesMax = 64;

std::string demangled(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(::abi::__cxa_demangle(symbol, nullptr, nullptr, &status), ::free);
  return printable(status == 0 ? name.get() : symbol, kNameBytesMax);
}

// `looked_up`: an address inside the instruction that `address` is about.
std::string name_of(std::uint64_t address, std::uint64_t looked_up) {
  Dl_info found{};
  if (::dladdr(reinterpret_cast<void*>(looked_up), &found) == 0 || found.dli_fname == nullptr) {
    return fmt::format("{:#x}", address);
  }
  const std::string_view path = found.dli_fname;
  const std::string file = printable(path.substr(path.rfind('/') + 1), kFileBytesMax);
  if (found.dli_sname != nullptr) {
    return fmt::format("{}({}+{:#x})", file, demangled(found.dli_sname),
                       address - reinterpret_cast<std::uint64_t>(found.dli_saddr));
  }
  return fmt::format("{}+{:#x}", file, address - reinterpret_cast<std::uint64_t>(found.dli_fbase));
}

}  // namespace

std::string symbolize(std::span<const std::uint64_t> addresses) {
  std::string text;
  const std::size_t count = std::min(addresses.size(), ipc::kStackFramesMax);
  for (std::size_t i = 0; i < count; ++i) {
    text += name_of(addresses[i], i == 0 || addresses[i] == 0 ? addresses[i] : addresses[i] - 1);
    text += '\n';
  }
  return text;
}

}  // namespace quern::worker
