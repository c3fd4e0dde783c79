#include <webp/encode.h>
#include <webp/mux.h>

#include <algorithm>
#include <limits>
#include <new>
#include <opencv2/core.hpp>
#include <string>

#include "worker/jobs/image/codecs/handle.h"
#include "worker/jobs/image/codecs/webp_animation.h"
#include "worker/jobs/image/codecs/webp_config.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::webp {
namespace {

// libwebp's encoder of animations keeps the canvas before, and codes what changed.
class AnimationEncoder final : public Encoder {
 public:
  AnimationEncoder(const EncodeOptions& options, const sdk::Job& job)
      : options_(options), config_(config_for(options)), job_(job) {}

  void add(const Frame& frame) override {
    job_.throw_if_cancelled();
    const cv::Mat pixels = to_rgb(frame.picture);
    if (!encoder_) begin(pixels.size());
    Source source;
    source.width = pixels.cols;
    source.height = pixels.rows;
    source.use_argb = 1;
    const int stride = static_cast<int>(pixels.step[0]);
    const int imported = pixels.channels() == 4 ? WebPPictureImportRGBA(&source, pixels.data, stride)
                                                : WebPPictureImportRGB(&source, pixels.data, stride);
    if (imported == 0) throw std::bad_alloc();
    check(WebPAnimEncoderAdd(encoder_.get(), &source, at_ms_, &config_));
    // libwebp counts in an int; no sum of delays may run over it
    const int left_ms = (std::numeric_limits<int>::max() - at_ms_) / 2;
    at_ms_ += std::min(left_ms, static_cast<int>(std::min(frame.delay_ms, kDelayMaxMs)));
  }

  void finish(sdk::Output& output) override {
    check(WebPAnimEncoderAdd(encoder_.get(), nullptr, at_ms_, nullptr));  // how long the last one is shown
    WebPData made{};
    const Handle<WebPData, WebPDataClear> owner(&made);
    check(WebPAnimEncoderAssemble(encoder_.get(), &made));
    const Bytes file(reinterpret_cast<const std::byte*>(made.bytes), made.size);
    if (options_.metadata.empty()) {
      output.write(file);
    } else {
      output.write(with_metadata(file, options_.metadata));
    }
  }

 private:
  static constexpr std::uint32_t kDelayMaxMs = 0xffffff;  // 24 bits in the file

  void begin(cv::Size size) {
    WebPAnimEncoderOptions options;
    if (WebPAnimEncoderOptionsInit(&options) == 0) other_version();
    options.anim_params.loop_count = static_cast<int>(std::min(options_.loops, 0xffffU));
    options.anim_params.bgcolor = 0;  // transparent
    encoder_.reset(WebPAnimEncoderNew(size.width, size.height, &options));
    if (!encoder_) throw std::bad_alloc();
  }

  void check(int done) const {
    if (done != 0) return;
    job_.throw_if_cancelled();
    throw sdk::JobError(sdk::JobErrorCode::kInternal, std::string("WebP: ") + WebPAnimEncoderGetError(encoder_.get()));
  }

  EncodeOptions options_;
  WebPConfig config_;
  const sdk::Job& job_;
  Handle<WebPAnimEncoder, WebPAnimEncoderDelete> encoder_;
  int at_ms_ = 0;
};

}  // namespace

std::unique_ptr<Encoder> make_animation_encoder(const EncodeOptions& options, const sdk::Job& job) {
  return std::make_unique<AnimationEncoder>(options, job);
}

}  // namespace quern::image::webp
