#include "worker/jobs/image/css_color.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "worker/sdk/job.h"

namespace quern::image {
namespace {

// CSS Color 4, 6.1: sorted.
struct NamedColor {
  std::string_view name;
  std::uint32_t rgb;
};
constexpr auto kNames = std::to_array<NamedColor>({{"aliceblue", 0xf0f8ff},
                                                   {"antiquewhite", 0xfaebd7},
                                                   {"aqua", 0x00ffff},
                                                   {"aquamarine", 0x7fffd4},
                                                   {"azure", 0xf0ffff},
                                                   {"beige", 0xf5f5dc},
                                                   {"bisque", 0xffe4c4},
                                                   {"black", 0x000000},
                                                   {"blanchedalmond", 0xffebcd},
                                                   {"blue", 0x0000ff},
                                                   {"blueviolet", 0x8a2be2},
                                                   {"brown", 0xa52a2a},
                                                   {"burlywood", 0xdeb887},
                                                   {"cadetblue", 0x5f9ea0},
                                                   {"chartreuse", 0x7fff00},
                                                   {"chocolate", 0xd2691e},
                                                   {"coral", 0xff7f50},
                                                   {"cornflowerblue", 0x6495ed},
                                                   {"cornsilk", 0xfff8dc},
                                                   {"crimson", 0xdc143c},
                                                   {"cyan", 0x00ffff},
                                                   {"darkblue", 0x00008b},
                                                   {"darkcyan", 0x008b8b},
                                                   {"darkgoldenrod", 0xb8860b},
                                                   {"darkgray", 0xa9a9a9},
                                                   {"darkgreen", 0x006400},
                                                   {"darkgrey", 0xa9a9a9},
                                                   {"darkkhaki", 0xbdb76b},
                                                   {"darkmagenta", 0x8b008b},
                                                   {"darkolivegreen", 0x556b2f},
                                                   {"darkorange", 0xff8c00},
                                                   {"darkorchid", 0x9932cc},
                                                   {"darkred", 0x8b0000},
                                                   {"darksalmon", 0xe9967a},
                                                   {"darkseagreen", 0x8fbc8f},
                                                   {"darkslateblue", 0x483d8b},
                                                   {"darkslategray", 0x2f4f4f},
                                                   {"darkslategrey", 0x2f4f4f},
                                                   {"darkturquoise", 0x00ced1},
                                                   {"darkviolet", 0x9400d3},
                                                   {"deeppink", 0xff1493},
                                                   {"deepskyblue", 0x00bfff},
                                                   {"dimgray", 0x696969},
                                                   {"dimgrey", 0x696969},
                                                   {"dodgerblue", 0x1e90ff},
                                                   {"firebrick", 0xb22222},
                                                   {"floralwhite", 0xfffaf0},
                                                   {"forestgreen", 0x228b22},
                                                   {"fuchsia", 0xff00ff},
                                                   {"gainsboro", 0xdcdcdc},
                                                   {"ghostwhite", 0xf8f8ff},
                                                   {"gold", 0xffd700},
                                                   {"goldenrod", 0xdaa520},
                                                   {"gray", 0x808080},
                                                   {"green", 0x008000},
                                                   {"greenyellow", 0xadff2f},
                                                   {"grey", 0x808080},
                                                   {"honeydew", 0xf0fff0},
                                                   {"hotpink", 0xff69b4},
                                                   {"indianred", 0xcd5c5c},
                                                   {"indigo", 0x4b0082},
                                                   {"ivory", 0xfffff0},
                                                   {"khaki", 0xf0e68c},
                                                   {"lavender", 0xe6e6fa},
                                                   {"lavenderblush", 0xfff0f5},
                                                   {"lawngreen", 0x7cfc00},
                                                   {"lemonchiffon", 0xfffacd},
                                                   {"lightblue", 0xadd8e6},
                                                   {"lightcoral", 0xf08080},
                                                   {"lightcyan", 0xe0ffff},
                                                   {"lightgoldenrodyellow", 0xfafad2},
                                                   {"lightgray", 0xd3d3d3},
                                                   {"lightgreen", 0x90ee90},
                                                   {"lightgrey", 0xd3d3d3},
                                                   {"lightpink", 0xffb6c1},
                                                   {"lightsalmon", 0xffa07a},
                                                   {"lightseagreen", 0x20b2aa},
                                                   {"lightskyblue", 0x87cefa},
                                                   {"lightslategray", 0x778899},
                                                   {"lightslategrey", 0x778899},
                                                   {"lightsteelblue", 0xb0c4de},
                                                   {"lightyellow", 0xffffe0},
                                                   {"lime", 0x00ff00},
                                                   {"limegreen", 0x32cd32},
                                                   {"linen", 0xfaf0e6},
                                                   {"magenta", 0xff00ff},
                                                   {"maroon", 0x800000},
                                                   {"mediumaquamarine", 0x66cdaa},
                                                   {"mediumblue", 0x0000cd},
                                                   {"mediumorchid", 0xba55d3},
                                                   {"mediumpurple", 0x9370db},
                                                   {"mediumseagreen", 0x3cb371},
                                                   {"mediumslateblue", 0x7b68ee},
                                                   {"mediumspringgreen", 0x00fa9a},
                                                   {"mediumturquoise", 0x48d1cc},
                                                   {"mediumvioletred", 0xc71585},
                                                   {"midnightblue", 0x191970},
                                                   {"mintcream", 0xf5fffa},
                                                   {"mistyrose", 0xffe4e1},
                                                   {"moccasin", 0xffe4b5},
                                                   {"navajowhite", 0xffdead},
                                                   {"navy", 0x000080},
                                                   {"oldlace", 0xfdf5e6},
                                                   {"olive", 0x808000},
                                                   {"olivedrab", 0x6b8e23},
                                                   {"orange", 0xffa500},
                                                   {"orangered", 0xff4500},
                                                   {"orchid", 0xda70d6},
                                                   {"palegoldenrod", 0xeee8aa},
                                                   {"palegreen", 0x98fb98},
                                                   {"paleturquoise", 0xafeeee},
                                                   {"palevioletred", 0xdb7093},
                                                   {"papayawhip", 0xffefd5},
                                                   {"peachpuff", 0xffdab9},
                                                   {"peru", 0xcd853f},
                                                   {"pink", 0xffc0cb},
                                                   {"plum", 0xdda0dd},
                                                   {"powderblue", 0xb0e0e6},
                                                   {"purple", 0x800080},
                                                   {"rebeccapurple", 0x663399},
                                                   {"red", 0xff0000},
                                                   {"rosybrown", 0xbc8f8f},
                                                   {"royalblue", 0x4169e1},
                                                   {"saddlebrown", 0x8b4513},
                                                   {"salmon", 0xfa8072},
                                                   {"sandybrown", 0xf4a460},
                                                   {"seagreen", 0x2e8b57},
                                                   {"seashell", 0xfff5ee},
                                                   {"sienna", 0xa0522d},
                                                   {"silver", 0xc0c0c0},
                                                   {"skyblue", 0x87ceeb},
                                                   {"slateblue", 0x6a5acd},
                                                   {"slategray", 0x708090},
                                                   {"slategrey", 0x708090},
                                                   {"snow", 0xfffafa},
                                                   {"springgreen", 0x00ff7f},
                                                   {"steelblue", 0x4682b4},
                                                   {"tan", 0xd2b48c},
                                                   {"teal", 0x008080},
                                                   {"thistle", 0xd8bfd8},
                                                   {"tomato", 0xff6347},
                                                   {"turquoise", 0x40e0d0},
                                                   {"violet", 0xee82ee},
                                                   {"wheat", 0xf5deb3},
                                                   {"white", 0xffffff},
                                                   {"whitesmoke", 0xf5f5f5},
                                                   {"yellow", 0xffff00},
                                                   {"yellowgreen", 0x9acd32}});

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
  if (text == "transparent") return Color{.r = 0, .g = 0, .b = 0, .a = 0};
  const auto* const named = std::ranges::lower_bound(kNames, text, {}, &NamedColor::name);
  if (named == kNames.end() || named->name != text) return std::nullopt;
  const auto channel = [&](int shift) { return static_cast<std::uint8_t>(named->rgb >> shift); };
  return Color{.r = channel(16), .g = channel(8), .b = channel(0)};
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
                  "CSS such as gold or transparent (got '{}')",
                  field, text.substr(0, kColorBytesMax)),
      std::string(field));
}

}  // namespace quern::image
