#include "worker/jobs/image/css_color.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

#include "worker/sdk/job.h"

namespace quern::image {
namespace {

struct NamedColor {
  std::string_view name;
  Color color;
};
constexpr auto kNames = std::to_array<NamedColor>(
    {{"aqua", {0, 255, 255}},     {"black", {0, 0, 0}},       {"blue", {0, 0, 255}},         {"cyan", {0, 255, 255}},
     {"fuchsia", {255, 0, 255}},  {"gray", {128, 128, 128}},  {"green", {0, 128, 0}},        {"grey", {128, 128, 128}},
     {"lime", {0, 255, 0}},       {"magenta", {255, 0, 255}}, {"maroon", {128, 0, 0}},       {"navy", {0, 0, 128}},
     {"olive", {128, 128, 0}},    {"orange", {255, 165, 0}},  {"purple", {128, 0, 128}},     {"red", {255, 0, 0}},
     {"silver", {192, 192, 192}}, {"teal", {0, 128, 128}},    {"transparent", {0, 0, 0, 0}}, {"white", {255, 255, 255}},
     {"yellow", {255, 255, 0}}});

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Without the '#'.
std::optional<Color> parse_hex(std::string_view digits) {
  const bool is_short = digits.size() == 3 || digits.size() == 4;
  if (!is_short && digits.size() != 6 && digits.size() != 8) return std::nullopt;
  if (!std::ranges::all_of(digits, [](char c) { return hex_digit(c) >= 0; })) return std::nullopt;
  const auto channel = [&](std::size_t i, std::uint8_t absent) {
    const std::size_t width = is_short ? 1 : 2;
    if (i * width >= digits.size()) return absent;
    const int high = hex_digit(digits[i * width]);
    return static_cast<std::uint8_t>(high * 16 + hex_digit(digits[i * width + width - 1]));
  };
  return Color{.r = channel(0, 0), .g = channel(1, 0), .b = channel(2, 0), .a = channel(3, 255)};
}

// "128", "50%", of `whole`; for alpha, whose whole is 1, the result is 0 to 255 all the same.
std::optional<std::uint8_t> parse_channel(std::string_view text, double whole) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  double number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (text.empty() || read.ec != std::errc{} || read.ptr != text.data() + text.size()) return std::nullopt;
  const double share = std::clamp(number / (percent ? 100 : whole), 0.0, 1.0);
  return static_cast<std::uint8_t>(std::lround(share * 255));
}

// "rgb(" and "rgba(" are the same; so are commas, blanks and the slash before alpha.
std::optional<Color> parse_function(std::string_view text) {
  text.remove_prefix(text.find('(') + 1);
  text.remove_suffix(1);
  std::array<std::string_view, 4> words{};
  std::size_t count = 0;
  constexpr std::string_view kBetween = " ,/";
  for (std::size_t at = text.find_first_not_of(kBetween); at != std::string_view::npos;) {
    if (count == words.size()) return std::nullopt;
    const std::size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    words[count++] = text.substr(at, end - at);
    at = text.find_first_not_of(kBetween, end);
  }
  if (count < 3) return std::nullopt;
  const auto r = parse_channel(words[0], 255);
  const auto g = parse_channel(words[1], 255);
  const auto b = parse_channel(words[2], 255);
  const auto a = count == 4 ? parse_channel(words[3], 1) : std::uint8_t{255};
  if (!r || !g || !b || !a) return std::nullopt;
  return Color{.r = *r, .g = *g, .b = *b, .a = *a};
}

std::optional<Color> parse(std::string_view text) {
  if (text.starts_with('#')) return parse_hex(text.substr(1));
  if ((text.starts_with("rgb(") || text.starts_with("rgba(")) && text.ends_with(')')) return parse_function(text);
  const auto* const named = std::ranges::find(kNames, text, &NamedColor::name);
  return named == kNames.end() ? std::nullopt : std::optional(named->color);
}

}  // namespace

Color parse_color(std::string_view text, std::string_view field) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (const auto color = parse(lower)) return *color;
  throw sdk::JobError(
      sdk::JobErrorCode::kInvalidArgument,
      fmt::format("{} must be #rgb, #rgba, #rrggbb or #rrggbbaa in hex, rgb(r, g, b), rgba(r, g, b, a) or a name of "
                  "CSS such as white or transparent (got '{}')",
                  field, text.substr(0, kColorBytesMax)),
      std::string(field));
}

}  // namespace quern::image
