// "did you mean": the known word that a mistyped one is nearest to.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace quern::cli {

// "; did you mean 'width'?", or nothing when no known word is near.
[[nodiscard]] std::string did_you_mean(std::string_view wrong, std::span<const std::string> known,
                                       std::string_view prefix = {});

}  // namespace quern::cli
