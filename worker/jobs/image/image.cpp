// The image module: decode, resize, encode. The header is checked against the limits before a pixel is
// allocated, and every decoder's complaint is the job's error, never the worker's death.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <string>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/resample.h"
#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;
namespace image = quern::image;
using sdk::ParamType;

constexpr std::int64_t kInputPixelsDefault = 268'402'689;  // 16383 squared, as sharp's limitInputPixels
constexpr std::int64_t kOutputSideMax = 16'383;            // what WebP can hold

[[noreturn]] void refuse(const std::string& message, const char* field) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, message, field);
}

template <class Enum>
Enum choice(std::string_view word, std::initializer_list<std::pair<std::string_view, Enum>> words) {
  return std::ranges::find(words, word, &std::pair<std::string_view, Enum>::first)->second;  // the SDK checked it
}

// "#rrggbb" or "#rrggbbaa"
image::Color parse_color(std::string_view text) {
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  const bool sized = (text.size() == 7 || text.size() == 9) && text[0] == '#';
  if (!sized || std::from_chars(text.data() + 1, end, value, 16).ptr != end) {
    refuse(fmt::format("background must be #rrggbb or #rrggbbaa in hex (got '{}')", text), "background");
  }
  if (text.size() == 7) value = value << 8 | 0xff;
  return {.r = static_cast<std::uint8_t>(value >> 24),
          .g = static_cast<std::uint8_t>(value >> 16),
          .b = static_cast<std::uint8_t>(value >> 8),
          .a = static_cast<std::uint8_t>(value)};
}

image::Header accepted_header(const sdk::Job& job) {
  image::Header header;
  switch (image::sniff(job.input())) {
    case image::Format::kJpeg: header = image::jpeg::read_header(job.input()); break;
    case image::Format::kPng: header = image::png::read_header(job.input()); break;
    case image::Format::kWebp: header = image::webp::read_header(job.input()); break;
  }
  const auto pixels_max = static_cast<std::uint64_t>(job.integer("max_input_pixels"));
  if (std::uint64_t{header.width} * header.height > pixels_max) {
    throw sdk::JobError(sdk::JobErrorCode::kTooLarge,
                        fmt::format("the picture has {} x {} pixels; at most {} are accepted (max_input_pixels)", header.width,
                                    header.height, pixels_max),
                        "max_input_pixels");
  }
  if (!job.boolean("auto_orient")) header.orientation = 1;
  return header;
}

image::Plan plan_for(const sdk::Job& job, const image::Header& header) {
  image::Size asked{.width = job.has("width") ? static_cast<std::uint32_t>(job.integer("width")) : 0,
                    .height = job.has("height") ? static_cast<std::uint32_t>(job.integer("height")) : 0};
  if (asked.width == 0 && asked.height == 0) refuse("width or height is required", "width");
  const auto fit = choice<image::Fit>(job.string("fit"), {{"cover", image::Fit::kCover},
                                                          {"contain", image::Fit::kContain},
                                                          {"fill", image::Fit::kFill},
                                                          {"inside", image::Fit::kInside},
                                                          {"outside", image::Fit::kOutside}});
  // orientations 5 to 8 lie on their side until they are turned, at the end
  if (header.orientation >= 5) std::swap(asked.width, asked.height);
  const auto plan = image::make_plan({header.width, header.height}, asked, fit, job.boolean("without_enlargement"));
  if (std::max({plan.scaled.width, plan.scaled.height, plan.canvas.width, plan.canvas.height}) > kOutputSideMax) {
    refuse(fmt::format("the result would be {} x {}; each side is at most {}", plan.scaled.width, plan.scaled.height, kOutputSideMax),
           asked.width != 0 ? "width" : "height");
  }
  return plan;
}

cv::Mat decode(const sdk::Job& job, const image::Header& header, const image::Plan& plan) {
  switch (header.format) {
    case image::Format::kJpeg:
      return image::jpeg::decode(job.input(), image::shrink_on_load({header.width, header.height}, plan));
    case image::Format::kPng: return image::png::decode(job.input(), header);
    case image::Format::kWebp: break;
  }
  return image::webp::decode(job.input(), header);
}

void encode(sdk::Job& job, image::Format format, const cv::Mat& picture, image::Color background) {
  const int quality = static_cast<int>(job.integer("quality"));
  switch (format) {
    case image::Format::kJpeg: return image::jpeg::encode(image::flatten(picture, background), quality, job.output());
    case image::Format::kPng: return image::png::encode(picture, job.output());
    case image::Format::kWebp: return image::webp::encode(picture, quality, job.output());
  }
}

void resize_picture(sdk::Job& job) {
  const image::Color background = parse_color(job.string("background"));
  const image::Header header = accepted_header(job);
  const image::Plan plan = plan_for(job, header);
  const image::Format format = job.has("format") ? choice<image::Format>(job.string("format"), {{"jpeg", image::Format::kJpeg},
                                                                                                {"png", image::Format::kPng},
                                                                                                {"webp", image::Format::kWebp}})
                                                 : header.format;
  constexpr std::uint64_t kSteps = 3;
  job.throw_if_cancelled();
  cv::Mat picture = decode(job, header, plan);
  job.progress(1, kSteps);
  job.throw_if_cancelled();
  picture = image::upright(image::resample(picture, plan, background), header.orientation);
  job.progress(2, kSteps);
  job.throw_if_cancelled();
  encode(job, format, picture, background);
  job.progress(kSteps, kSteps);
}

// OpenCV has an exception of its own for what is std::bad_alloc elsewhere.
void resize(sdk::Job& job) {
  try {
    resize_picture(job);
  } catch (const cv::Exception& failure) {
    if (failure.code == cv::Error::StsNoMem) throw std::bad_alloc();
    throw;
  }
}

// One thread a worker: OpenCV must start none. A first resize resolves its lazy symbols and dispatch
// tables here, once, and not in every worker's first job.
void preload() {
  cv::setNumThreads(1);
  const cv::Mat pixels(64, 64, CV_8UC3, cv::Scalar(1, 2, 3));
  (void)image::resample(pixels, {.scaled = {16, 16}, .canvas = {16, 16}}, {});
}

sdk::ParamSpec side(const char* name) {
  return {.name = name, .type = ParamType::kInteger, .help = std::string("pixels; follows from the other side when absent"),
          .min = 1, .max = static_cast<double>(kOutputSideMax)};
}

sdk::Kind resize_kind() {
  sdk::Kind kind;
  kind.name = "image.resize";
  kind.summary = "Resizes a picture";
  kind.input.help = "a JPEG, PNG or WebP picture";
  kind.output = "the resized picture";
  kind.run = resize;
  kind.params.push_back(side("width"));
  kind.params.push_back(side("height"));
  kind.params.push_back({.name = "fit", .help = "how the picture meets width x height", .fallback = "cover",
                         .choices = {"cover", "contain", "fill", "inside", "outside"}});
  kind.params.push_back({.name = "format", .help = "of the result; the input's when absent",
                         .choices = {"webp", "jpeg", "png"}});
  kind.params.push_back({.name = "quality", .type = ParamType::kInteger, .help = "of WebP and JPEG", .fallback = 80,
                         .min = 1, .max = 100});
  kind.params.push_back({.name = "background", .help = "#rrggbb or #rrggbbaa: around contained pictures, and under alpha in JPEG",
                         .fallback = "#000000", .max = 9});
  kind.params.push_back({.name = "without_enlargement", .type = ParamType::kBoolean, .help = "never scale up", .fallback = false});
  kind.params.push_back({.name = "auto_orient", .type = ParamType::kBoolean, .help = "turn upright as EXIF says", .fallback = true});
  kind.params.push_back({.name = "max_input_pixels", .type = ParamType::kInteger,
                         .help = "larger pictures are refused from their header", .fallback = kInputPixelsDefault,
                         .min = 1, .max = 1e10});
  return kind;
}

sdk::Module describe_module() {
  sdk::Module module;
  module.name = "image";
  module.kinds.push_back(resize_kind());
  module.preload = preload;
  return module;
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
