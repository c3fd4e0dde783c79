#include "worker/jobs/image/codecs/webp_config.h"

#include <webp/mux.h>

#include <memory>
#include <new>

#include "worker/jobs/image/codecs/handle.h"

namespace quern::image::webp {
namespace {

// Without an effort: measured to take less than half of the time of libwebp's own method 4, for a
// few per cent more bytes at equal SSIM (docs/jobs.md has the numbers). Method 2 chooses modes by distortion alone,
// which a strong loop filter and more of the bits in flat parts make up for in part; the simple filter keeps more of
// the texture than the normal one, and is the faster one to decode. Alpha's filters are tried in vain at this effort:
// the bytes are the same.
constexpr int kMethodDefault = 2;
constexpr int kFilterStrengthDefault = 100;
constexpr int kSimpleFilter = 0;
constexpr int kNoiseShapingDefault = 60;
constexpr int kLosslessMethodDefault = 3;

void set_defaults(WebPConfig& config) {
  config.method = kMethodDefault;
  config.filter_strength = kFilterStrengthDefault;
  config.filter_type = kSimpleFilter;
  config.sns_strength = kNoiseShapingDefault;
  config.alpha_filtering = 0;
}

}  // namespace

void other_version() {
  throw sdk::JobError(sdk::JobErrorCode::kInternal, "libwebp has another version than this was built for");
}

WebPConfig config_for(const EncodeOptions& options) {
  WebPConfig config;
  if (WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, static_cast<float>(options.quality)) == 0) other_version();
  if (options.effort) {
    config.method = *options.effort;
  } else {
    set_defaults(config);
  }
  config.alpha_quality = options.alpha_quality;
  config.use_sharp_yuv = options.smart_subsample ? 1 : 0;
  if (options.lossless || options.near_lossless) {
    config.lossless = 1;
    config.method = options.effort.value_or(kLosslessMethodDefault);
    config.quality = 75;  // of the search, not of the picture
    if (options.near_lossless) config.near_lossless = options.quality;
  }
  return config;
}

Source::Source() : WebPPicture{} {
  if (WebPPictureInit(this) == 0) other_version();
}

Source::~Source() { WebPPictureFree(this); }

std::vector<std::byte> with_metadata(Bytes file, const MetadataView& metadata) {
  const auto data_of = [](Bytes bytes) {
    return WebPData{.bytes = reinterpret_cast<const std::uint8_t*>(bytes.data()), .size = bytes.size()};
  };
  const WebPData picture = data_of(file);
  const Handle<WebPMux, WebPMuxDelete> mux(WebPMuxCreate(&picture, 0));
  if (!mux) throw std::bad_alloc();
  const auto put = [&](const char* name, Bytes bytes) {
    const WebPData chunk = data_of(bytes);
    if (!bytes.empty() && WebPMuxSetChunk(mux.get(), name, &chunk, 0) != WEBP_MUX_OK) throw std::bad_alloc();
  };
  put("ICCP", metadata.icc);
  put("EXIF", metadata.exif);
  put("XMP ", metadata.xmp);
  WebPData assembled{};
  const Handle<WebPData, WebPDataClear> owner(&assembled);
  if (WebPMuxAssemble(mux.get(), &assembled) != WEBP_MUX_OK) throw std::bad_alloc();
  const auto* first = reinterpret_cast<const std::byte*>(assembled.bytes);
  return {first, first + assembled.size};
}

}  // namespace quern::image::webp
