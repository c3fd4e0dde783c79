#include "common/paths.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace quern {

std::string default_runtime_dir() {
  for (const char* variable : {"QUERN_RUNTIME_DIR", "RUNTIME_DIRECTORY"}) {
    if (const char* value = std::getenv(variable); value != nullptr && *value != '\0') return value;
  }
  if (::geteuid() == 0) return "/run/quern";
  if (const char* value = std::getenv("XDG_RUNTIME_DIR"); value != nullptr && *value != '\0') {
    return fmt::format("{}/quern", value);
  }
  return fmt::format("/tmp/quern-{}", ::geteuid());
}

std::string executable_dir() {
  std::error_code failure;
  return std::filesystem::read_symlink("/proc/self/exe", failure).parent_path().string();
}

}  // namespace quern
