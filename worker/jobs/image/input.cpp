#include "worker/jobs/image/input.h"

#include <algorithm>
#include <array>

#include "worker/jobs/image/color.h"
#include "worker/jobs/image/limits.h"
#include "worker/jobs/image/memory_estimate.h"
#include "worker/jobs/image/resize.h"
#include "worker/jobs/image/words.h"
#include "worker/jobs/image/yuv.h"
#include "worker/sdk/object.h"

namespace quern::image {
namespace {

constexpr auto kFailOn = std::to_array<Word<FailOn>>({{"none", FailOn::kNone},
                                                      {"truncated", FailOn::kTruncated},
                                                      {"error", FailOn::kError},
                                                      {"warning", FailOn::kWarning}});

std::unique_ptr<Decoder> open_within_limits(Bytes bytes, const InputOptions& options, const sdk::Job& job) {
  const auto refuse = [](const std::string& what, const char* limit, std::uint64_t most) {
    throw sdk::JobError(sdk::JobErrorCode::kTooLarge,
                        fmt::format("{}; at most {} are accepted ({})", what, most, limit), limit);
  };
  if (bytes.size() > options.bytes_max) {
    refuse(fmt::format("the input has {} bytes", bytes.size()), "max_input_bytes", options.bytes_max);
  }
  auto decoder = open_decoder(bytes, options.fail_on, job);
  const Header& header = decoder->header();
  if (std::max(header.width, header.height) > options.side_max) {
    refuse(fmt::format("the picture has {} x {} pixels", header.width, header.height), "max_input_side",
           options.side_max);
  }
  const std::uint32_t frames = options.animated ? header.frames : 1;
  if (frames > options.frames_max)
    refuse(fmt::format("the animation has {} frames", frames), "max_input_frames", options.frames_max);
  // 2^32 * 2^32 would not fit, but no side is that long here
  const double pixels = static_cast<double>(header.width) * header.height * frames;
  if (pixels > static_cast<double>(options.pixels_max)) {
    refuse(frames == 1
               ? fmt::format("the picture has {} x {} pixels", header.width, header.height)
               : fmt::format("the animation has {} frames of {} x {} pixels", frames, header.width, header.height),
           "max_input_pixels", options.pixels_max);
  }
  return decoder;
}

}  // namespace

std::unique_ptr<Decoder> open_input(const sdk::Job& job, std::size_t part, const InputOptions& options) {
  InputOptions used = options;
  used.animated = options.animated && part == 0;
  return reading_part(job, part, [&] { return open_within_limits(job.inputs()[part].bytes, used, job); });
}

cv::Mat first_picture(const sdk::Job& job, std::size_t part, const InputOptions& options) {
  const auto decoder = open_input(job, part, options);
  const Header& header = decoder->header();
  const Metadata metadata = decoder->metadata();
  const Frame frame = reading_part(job, part, [&] { return decoder->next({}); });
  return to_srgb(to_rgb(upright(frame.picture, options.auto_orient ? header.orientation : 1)),
                 profile_to_apply(metadata.icc, header.space));
}

std::vector<cv::Mat> first_pictures(sdk::Job& job, std::uint64_t working_bytes) {
  InputOptions options = input_options(job.params());
  options.animated = false;
  std::uint64_t bytes = kEstimateBase;
  std::uint64_t pixels = 0;
  for (std::size_t i = 0; i < job.inputs().size(); ++i) {
    const Header header = open_input(job, i, options)->header();
    bytes += estimated_bytes_of_whole(header, job.inputs()[i].bytes.size());
    pixels = std::max(pixels, header.pixels());
  }
  job.reserve_memory(bytes + pixels * working_bytes);
  std::vector<cv::Mat> pictures;
  for (std::size_t i = 0; i < job.inputs().size(); ++i) pictures.push_back(first_picture(job, i, options));
  return pictures;
}

std::vector<sdk::ParamSpec> input_specs() {
  using sdk::ParamType;
  const auto whole = [](const char* name, const char* help, std::int64_t fallback, double max) {
    return sdk::ParamSpec{
        .name = name, .type = ParamType::kInteger, .help = help, .fallback = fallback, .min = 1, .max = max};
  };
  return {{.name = "auto_orient", .type = ParamType::kBoolean, .help = "turn upright as EXIF says", .fallback = true},
          {.name = "animated",
           .type = ParamType::kBoolean,
           .help = "keep all frames of an animation, where the result's format can",
           .fallback = true},
          {.name = "fail_on",
           .help = "how damaged an input is refused",
           .fallback = "warning",
           .choices = words_of(kFailOn)},
          whole("max_input_pixels", "larger pictures are refused from their header; frames count", kPicturePixelsMax,
                1U << 30),
          whole("max_input_side", "likewise, of a side", 65'535, 1U << 20),
          whole("max_input_frames", "likewise, of an animation", 3000, 1U << 16),
          whole("max_input_bytes", "likewise, of the file", std::int64_t{1} << 32,
                static_cast<double>(std::int64_t{1} << 40))};
}

InputOptions input_options(const boost::json::object& params) {
  InputOptions options;
  options.fail_on = meaning_of(kFailOn, sdk::string(params, "fail_on"));
  options.auto_orient = sdk::boolean(params, "auto_orient");
  options.animated = sdk::boolean(params, "animated");
  options.pixels_max = static_cast<std::uint64_t>(sdk::integer(params, "max_input_pixels"));
  options.side_max = static_cast<std::uint32_t>(sdk::integer(params, "max_input_side"));
  options.frames_max = static_cast<std::uint32_t>(sdk::integer(params, "max_input_frames"));
  options.bytes_max = static_cast<std::uint64_t>(sdk::integer(params, "max_input_bytes"));
  return options;
}

}  // namespace quern::image
