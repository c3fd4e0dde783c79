#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <opencv2/core.hpp>
#include <utility>
#include <vector>

#include "worker/jobs/image/codecs/handle.h"
#include "worker/jobs/image/codecs/webp_animation.h"
#include "worker/jobs/image/codecs/webp_chunks.h"
#include "worker/jobs/image/codecs/webp_config.h"

namespace quern::image::webp {
namespace {

// The file without a last chunk that is cut short, and as long as its head then says.
std::vector<std::byte> without_cut_chunk(Bytes file) {
  std::size_t end = file.size();
  for (ChunkReader chunks(file); chunks.next();) {
    if (!chunks.is_whole()) end = chunks.offset();
  }
  std::vector<std::byte> whole(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(end));
  constexpr std::size_t kSizeAt = 4;  // of what follows it
  constexpr std::size_t kSizeEnd = 8;
  for (std::size_t i = kSizeAt; i < kSizeEnd; ++i) {
    whole[i] = static_cast<std::byte>((whole.size() - kSizeEnd) >> (8 * (i - kSizeAt)));
  }
  return whole;
}

class AnimationDecoder final : public Decoder {
 public:
  AnimationDecoder(Bytes bytes, Header header, Metadata metadata, FailOn fail_on, const sdk::Job& job)
      : Decoder(std::move(header)), bytes_(bytes), metadata_(std::move(metadata)), fail_on_(fail_on), job_(job) {}

  [[nodiscard]] Metadata read_metadata() override { return metadata_; }

  // libwebp keeps two canvases: the one that is shown, and the one before it.
  [[nodiscard]] Frame next(const DecodeOptions& /*options*/) override {
    job_.throw_if_cancelled();
    if (!decoder_) open();
    std::uint8_t* pixels = nullptr;
    int until_ms = 0;
    const cv::Size canvas = header().size();
    if (WebPAnimDecoderGetNext(decoder_.get(), &pixels, &until_ms) == 0) {
      if (fail_on_ != FailOn::kNone)
        throw sdk::JobError(sdk::JobErrorCode::kBadInput, "WebP: a frame of the animation is corrupt");
      if (last_.empty()) last_ = cv::Mat::zeros(canvas, CV_8UC4);
      return {.picture = last_.clone(), .delay_ms = kDelayOfDamagedMs};
    }
    const cv::Mat shown(canvas, CV_8UC4, pixels);
    last_ = shown.clone();
    return {.picture = last_,
            .delay_ms = static_cast<std::uint32_t>(until_ms) -
                        static_cast<std::uint32_t>(std::exchange(shown_until_ms_, until_ms))};
  }

 private:
  static constexpr std::uint32_t kDelayOfDamagedMs = 100;

  void open() {
    WebPAnimDecoderOptions options;
    if (WebPAnimDecoderOptionsInit(&options) == 0) other_version();
    options.color_mode = MODE_RGBA;
    options.use_threads = 0;
    const auto open_file = [&](Bytes file) {
      const WebPData data{.bytes = reinterpret_cast<const std::uint8_t*>(file.data()), .size = file.size()};
      decoder_.reset(WebPAnimDecoderNew(&data, &options));
    };
    open_file(bytes_);
    if (!decoder_ && fail_on_ == FailOn::kNone) {
      mended_ = without_cut_chunk(bytes_);
      open_file(mended_);
    }
    if (!decoder_) throw sdk::JobError(sdk::JobErrorCode::kBadInput, "WebP: the animation is corrupt");
  }

  Bytes bytes_;
  std::vector<std::byte> mended_{};
  Metadata metadata_;
  FailOn fail_on_;
  const sdk::Job& job_;
  Handle<WebPAnimDecoder, WebPAnimDecoderDelete> decoder_;
  cv::Mat last_;
  int shown_until_ms_ = 0;
};

}  // namespace

std::unique_ptr<Decoder> open_animation(Bytes bytes, Header header, Metadata metadata, FailOn fail_on,
                                        const sdk::Job& job) {
  return std::make_unique<AnimationDecoder>(bytes, std::move(header), std::move(metadata), fail_on, job);
}

}  // namespace quern::image::webp
