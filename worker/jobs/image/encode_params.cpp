#include "worker/jobs/image/encode_params.h"

#include "worker/jobs/image/resample.h"
#include "worker/sdk/object.h"

namespace quern::image {

std::vector<sdk::ParamSpec> encode_specs() {
  return {{.name = "format", .help = "of the result; the input's when absent", .choices = {"webp", "jpeg", "png"}},
          {.name = "quality",
           .type = sdk::ParamType::kInteger,
           .help = "of WebP and JPEG",
           .fallback = 80,
           .min = 1,
           .max = 100}};
}

EncodeOptions encode_options(const boost::json::object& params, const Header& input, bool) {
  EncodeOptions options{.format = input.format, .quality = static_cast<int>(sdk::integer(params, "quality"))};
  if (sdk::has(params, "format")) {
    const auto word = sdk::string(params, "format");
    options.format = word == "jpeg" ? Format::kJpeg : word == "png" ? Format::kPng : Format::kWebp;
  }
  return options;
}

std::optional<YuvLayout> preferred_layout(const EncodeOptions& options) {
  if (options.format == Format::kJpeg) return YuvLayout{YuvPicture::Range::kFull, 1, 1};
  if (options.format == Format::kWebp) return YuvLayout{YuvPicture::Range::kLimited, 1, 1};
  return {};
}

}  // namespace quern::image
