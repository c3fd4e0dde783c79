#include "worker/jobs/image/encode_params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "worker/jobs/image/words.h"
#include "worker/sdk/object.h"

namespace quern::image {
namespace {

using sdk::ParamType;

constexpr std::array kWritten{Format::kJpeg, Format::kPng,  Format::kWebp,       Format::kAvif,
                              Format::kGif,  Format::kTiff, Format::kPlaceholder};
constexpr std::string_view kAuto = "auto";

using Tiff = EncodeOptions::TiffCompression;
constexpr auto kTiffCompressions = std::to_array<Word<Tiff>>({{"none", Tiff::kNone},
                                                              {"lzw", Tiff::kLzw},
                                                              {"deflate", Tiff::kDeflate},
                                                              {"jpeg", Tiff::kJpeg},
                                                              {"packbits", Tiff::kPackbits}});
constexpr auto kChromaIsFull = std::to_array<Word<bool>>({{"4:2:0", false}, {"4:4:4", true}});

// An option and the formats that have it. Whoever sets it for another one has made a mistake, and is told.
struct Belongs {
  std::string_view option;
  std::vector<Format> formats;
};
const std::vector<Belongs>& table() {
  using enum Format;
  static const std::vector<Belongs> rows{{"quality", {kJpeg, kWebp, kAvif, kPng, kTiff}},
                                         {"lossless", {kWebp, kAvif}},
                                         {"near_lossless", {kWebp}},
                                         {"alpha_quality", {kWebp}},
                                         {"smart_subsample", {kWebp}},
                                         {"progressive", {kJpeg, kPng}},
                                         {"chroma_subsampling", {kJpeg, kAvif}},
                                         {"optimise_coding", {kJpeg}},
                                         {"compression_level", {kPng}},
                                         {"palette", {kPng}},
                                         {"colors", {kPng, kGif}},
                                         {"dither", {kPng, kGif}},
                                         {"effort", {kWebp, kAvif, kPng, kGif}},
                                         {"bit_depth", {kAvif, kPng}},
                                         {"compression", {kTiff}},
                                         {"loops", {kWebp, kGif}},
                                         {"components_x", {kPlaceholder}},
                                         {"components_y", {kPlaceholder}},
                                         {"side", {kPlaceholder}}};
  return rows;
}

void check_options(const boost::json::object& params, Format format) {
  for (const Belongs& row : table()) {
    if (!sdk::has(params, row.option) || std::ranges::find(row.formats, format) != row.formats.end()) continue;
    std::vector<std::string_view> names;
    for (const Format each : row.formats) names.push_back(name_of(each));
    throw sdk::JobError(
        sdk::JobErrorCode::kInvalidArgument,
        fmt::format("{} is an option of {}, not of {}", row.option, fmt::join(names, " and "), name_of(format)),
        std::string(row.option));
  }
}

int quality_default(Format format) { return format == Format::kAvif ? 50 : format == Format::kPng ? 100 : 80; }

struct EffortRange {
  int min;
  int max;
};
EffortRange effort_range(Format format) {
  if (format == Format::kWebp) return {0, 6};
  return format == Format::kAvif ? EffortRange{0, 9} : EffortRange{1, 10};
}

void check_range(std::string_view name, int value, int min, int max, Format format) {
  if (value >= min && value <= max) return;
  throw sdk::JobError(
      sdk::JobErrorCode::kInvalidArgument,
      fmt::format("{} must be between {} and {} for {} (got {})", name, min, max, name_of(format), value),
      std::string(name));
}

Format format_of(const boost::json::object& params, const Header& input) {
  if (!sdk::has(params, "format")) return input.format == Format::kBmp ? Format::kPng : input.format;
  const std::string_view word = sdk::string(params, "format");
  if (word == kAuto) return choose_format(input, params);
  return *std::ranges::find(kWritten, word, name_of);  // the SDK checked it
}

void set_bit_depth(EncodeOptions& options, int depth) {
  const bool avif = options.format == Format::kAvif;
  const std::array<int, 4> depths = avif ? std::array{8, 10, 12, 12} : std::array{1, 2, 4, 8};
  if (std::ranges::find(depths, depth) == depths.end()) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        fmt::format("bit_depth must be {} (got {})", avif ? "8, 10 or 12" : "1, 2, 4 or 8", depth),
                        "bit_depth");
  }
  options.bit_depth = depth;
  if (!avif) options.colors = std::min(options.colors, 1 << depth);
}

// Sets what the job says, and leaves the rest at its default.
void read(const boost::json::object& params, std::string_view name, bool& value) {
  if (sdk::has(params, name)) value = sdk::boolean(params, name);
}
void read(const boost::json::object& params, std::string_view name, double& value) {
  if (sdk::has(params, name)) value = sdk::number(params, name);
}
template <std::integral Whole>
void read(const boost::json::object& params, std::string_view name, Whole& value) {
  if (sdk::has(params, name)) value = static_cast<Whole>(sdk::integer(params, name));
}
template <class Value, std::size_t kCount>
void read(const boost::json::object& params, std::string_view name, const std::array<Word<Value>, kCount>& table,
          Value& value) {
  if (sdk::has(params, name)) value = meaning_of(table, sdk::string(params, name));
}

sdk::ParamSpec whole(const char* name, const char* help, double min, double max) {
  return {.name = name, .type = ParamType::kInteger, .help = help, .min = min, .max = max};
}
sdk::ParamSpec flag(const char* name, const char* help) {
  return {.name = name, .type = ParamType::kBoolean, .help = help};
}

}  // namespace

std::vector<sdk::ParamSpec> encode_specs() {
  std::vector<std::string> formats;
  for (const Format each : kWritten) formats.emplace_back(name_of(each));
  formats.emplace_back(kAuto);
  return {
      {.name = "format", .help = "of the result; the input's when absent", .choices = std::move(formats)},
      whole("quality", "80 when absent, 50 for avif; of a png it chooses a palette", 1, 100),
      flag("lossless", "webp, avif: every pixel as it is"),
      flag("near_lossless", "webp: lossless, after pixels were adjusted as far as quality allows"),
      whole("alpha_quality", "webp: of the alpha channel; 100 when absent", 0, 100),
      flag("smart_subsample", "webp: sharper chroma, slower"),
      whole("effort", "webp 0-6, avif 0-9, gif and png palettes 1-10: slower and smaller", 0, 10),
      flag("progressive", "jpeg, png: coarse first"),
      {.name = "chroma_subsampling", .help = "jpeg, avif; 4:2:0 when absent", .choices = words_of(kChromaIsFull)},
      flag("optimise_coding", "jpeg: Huffman tables of its own; true when absent"),
      whole("compression_level", "png: 6 when absent", 0, 9),
      flag("palette", "png: at most 256 colours, chosen for the picture"),
      whole("colors", "png palettes, gif: at most so many", 2, 256),
      {.name = "dither", .type = ParamType::kNumber, .help = "png palettes, gif: 1 when absent", .min = 0, .max = 1},
      whole("bit_depth", "avif 8, 10 or 12; png palettes 1, 2, 4 or 8", 1, 12),
      {.name = "compression", .help = "tiff; lzw when absent", .choices = words_of(kTiffCompressions)},
      whole("loops", "webp, gif: how often an animation is shown, 0 for ever; the input's when absent", 0, 65'535),
      whole("components_x", "placeholder: waves of its BlurHash, across; 4 when absent", 1, kBlurHashWavesMax),
      whole("components_y", "placeholder: and down; 3 when absent", 1, kBlurHashWavesMax),
      whole("side", "placeholder: of the longer side of its data_uri, in pixels; 16 when absent", 1,
            kPlaceholderSideMax),
      flag("keep_metadata", "keep EXIF, XMP and the colour profile"),
      flag("keep_icc", "keep the colour profile, and the colours as it means them")};
}

// As sharp has it: whoever says what only palettes know means one, and a quality too, unless it was said of whatever
// format `auto` chooses.
bool means_palette(const boost::json::object& params) {
  const auto has = [&](const char* name) { return sdk::has(params, name); };
  const bool is_auto = has("format") && sdk::string(params, "format") == kAuto;
  if (!has("palette"))
    return (has("quality") && !is_auto) || has("colors") || has("dither") || has("effort") || has("bit_depth");
  if (sdk::boolean(params, "palette")) return true;
  for (const char* name : {"colors", "dither", "effort", "bit_depth"}) {
    if (!has(name)) continue;
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                        fmt::format("a png without a palette has no {}: leave it out, or say palette true", name),
                        name);
  }
  return false;
}

EncodeOptions encode_options(const boost::json::object& params, const Header& input) {
  EncodeOptions options{.format = format_of(params, input)};
  check_options(params, options.format);
  const auto set = [&](std::string_view name, auto& value) { read(params, name, value); };
  options.quality = quality_default(options.format);
  options.loops = std::min(input.loops, 65'535U);
  set("quality", options.quality);
  set("lossless", options.lossless);
  set("near_lossless", options.near_lossless);
  set("alpha_quality", options.alpha_quality);
  set("smart_subsample", options.smart_subsample);
  set("progressive", options.progressive);
  set("optimise_coding", options.optimise_coding);
  set("compression_level", options.compression_level);
  set("colors", options.colors);
  set("dither", options.dither);
  set("loops", options.loops);
  read(params, "chroma_subsampling", kChromaIsFull, options.chroma_full);
  read(params, "compression", kTiffCompressions, options.tiff_compression);
  if (sdk::has(params, "effort")) {
    const EffortRange range = effort_range(options.format);
    set("effort", options.effort.emplace());
    check_range("effort", *options.effort, range.min, range.max, options.format);
  }
  if (options.format == Format::kPng) options.palette = means_palette(params);
  options.placeholder = placeholder_options(params);
  if (sdk::has(params, "bit_depth")) set_bit_depth(options, static_cast<int>(sdk::integer(params, "bit_depth")));
  return options;
}

std::string first_encode_param(const boost::json::object& params) {
  for (const sdk::ParamSpec& spec : encode_specs()) {
    if (sdk::has(params, spec.name)) return spec.name;
  }
  return {};
}

PlaceholderOptions placeholder_options(const boost::json::object& params) {
  PlaceholderOptions options;
  read(params, "components_x", options.blurhash.across);
  read(params, "components_y", options.blurhash.down);
  read(params, "side", options.side);
  return options;
}

void check_format_holds(Format format, cv::Size size) {
  const std::uint32_t most = side_max_of(format);
  if (static_cast<std::uint32_t>(std::max(size.width, size.height)) <= most) return;
  throw sdk::JobError(
      sdk::JobErrorCode::kInvalidArgument,
      fmt::format("{} has at most {} pixels a side, and the result has {} x {}: resize it, or choose png",
                  name_of(format), most, size.width, size.height),
      "format");
}

void check_format_holds(Format format, const MetadataView& metadata) {
  if (format != Format::kJpeg) return;
  const auto check = [](std::string_view what, std::size_t bytes, std::size_t most) {
    if (bytes <= most) return;
    throw sdk::JobError(
        sdk::JobErrorCode::kInvalidArgument,
        fmt::format("a jpeg has room for {} bytes of {}, and the picture has {}: choose png or webp, or "
                    "leave keep_metadata out",
                    most, what, bytes),
        "keep_metadata");
  };
  check("EXIF", metadata.exif.size(), kJpegExifBytesMax);
  check("XMP", metadata.xmp.size(), kJpegXmpBytesMax);
}

namespace {

bool fits(const Header& input, Format format) { return std::max(input.width, input.height) <= side_max_of(format); }

Format best_format(const Header& input) {
  constexpr std::uint64_t kIconPixels = 64 * 64;
  constexpr std::uint64_t kSmallPhotoPixels = 256 * 256;
  const std::uint64_t pixels = input.pixels();
  if (input.frames > 1) return fits(input, Format::kWebp) ? Format::kWebp : Format::kGif;
  if (input.lossless && pixels <= kIconPixels) return Format::kPng;
  if (!fits(input, Format::kWebp)) return input.alpha || !fits(input, Format::kJpeg) ? Format::kPng : Format::kJpeg;
  if (input.alpha || pixels > kSmallPhotoPixels) return Format::kWebp;
  return Format::kJpeg;
}

// The best one first.
std::vector<Format> formats_for(const Header& input) {
  using enum Format;
  std::vector<Format> formats{best_format(input)};
  const std::vector<Format> others = input.frames > 1 ? std::vector{kWebp, kGif}
                                     : input.alpha    ? std::vector{kWebp, kPng}
                                                      : std::vector{kWebp, kJpeg, kPng};
  std::ranges::copy_if(others, std::back_inserter(formats),
                       [&](Format each) { return each != formats.front() && fits(input, each); });
  return formats;
}

bool takes(Format format, std::string_view option, const boost::json::object& params) {
  if (format == Format::kPng && option == "effort") {
    return std::ranges::any_of(std::array{"palette", "colors", "dither", "bit_depth"},
                               [&](const char* each) { return sdk::has(params, each); });
  }
  const auto row = std::ranges::find(table(), option, &Belongs::option);
  return std::ranges::find(row->formats, format) != row->formats.end();
}

}  // namespace

Format choose_format(const Header& input, const boost::json::object& params) {
  std::vector<std::string_view> given;
  for (const Belongs& row : table()) {
    if (sdk::has(params, row.option)) given.push_back(row.option);
  }
  const std::vector<Format> formats = formats_for(input);
  for (const Format format : formats) {
    if (std::ranges::all_of(given, [&](std::string_view each) { return takes(format, each, params); })) return format;
  }
  std::vector<std::string_view> names;
  for (const Format each : formats) names.push_back(name_of(each));
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                      fmt::format("auto is one of {} for this picture, and none of them has {}: say a format that has",
                                  fmt::join(names, ", "), fmt::join(given, " and ")),
                      "format");
}

}  // namespace quern::image
