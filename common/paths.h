// Where a supervisor and its clients meet when nobody says otherwise.
#pragma once

#include <string>
#include <string_view>

namespace quern {

inline constexpr std::string_view kClientSocketName = "quern.sock";  // jobs
inline constexpr std::string_view kAdminSocketName = "admin.sock";   // operators

// $QUERN_RUNTIME_DIR, else $RUNTIME_DIRECTORY (systemd's), else /run/quern for root,
// $XDG_RUNTIME_DIR/quern for others, or /tmp/quern-UID without one.
[[nodiscard]] std::string default_runtime_dir();

// The directory of the running executable; empty when it can't be known.
[[nodiscard]] std::string executable_dir();

}  // namespace quern
