#include <webp/encode.h>

#include <exception>
#include <new>
#include <string>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/still.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::webp {
namespace {

[[noreturn]] void other_version() {
  throw sdk::JobError(sdk::JobErrorCode::kInternal, "libwebp has another version than this was built for");
}

// What the callbacks need; an exception waits here until libwebp's frames are left.
struct Sink {
  sdk::Output* output;
  const sdk::Job* job;
  std::exception_ptr failure{};
};

int write(const std::uint8_t* data, std::size_t size, const WebPPicture* picture) {
  auto* sink = static_cast<Sink*>(picture->custom_ptr);
  try {
    sink->output->write(Bytes(reinterpret_cast<const std::byte*>(data), size));
    return 1;
  } catch (...) {
    sink->failure = std::current_exception();
    return 0;
  }
}

int go_on(int /*percent*/, const WebPPicture* picture) {
  return static_cast<const Sink*>(picture->custom_ptr)->job->cancel_requested() ? 0 : 1;
}

struct Source : WebPPicture {
  Source() : WebPPicture{} {
    if (WebPPictureInit(this) == 0) other_version();
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source() { WebPPictureFree(this); }
};

void encode(const cv::Mat& picture, const EncodeOptions& options, sdk::Output& output, const sdk::Job& job) {
  WebPConfig config;
  if (WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, static_cast<float>(options.quality)) == 0) other_version();
  Sink sink{.output = &output, .job = &job};
  Source source;
  source.width = picture.cols;
  source.height = picture.rows;
  source.writer = write;
  source.progress_hook = go_on;
  source.custom_ptr = &sink;
  const int stride = static_cast<int>(picture.step[0]);
  const int imported = picture.channels() == 4 ? WebPPictureImportRGBA(&source, picture.data, stride)
                                               : WebPPictureImportRGB(&source, picture.data, stride);
  if (imported == 0) throw std::bad_alloc();
  if (WebPEncode(&config, &source) != 0) return;
  if (sink.failure) std::rethrow_exception(sink.failure);
  job.throw_if_cancelled();
  if (source.error_code == VP8_ENC_ERROR_OUT_OF_MEMORY || source.error_code == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY) {
    throw std::bad_alloc();
  }
  throw sdk::JobError(sdk::JobErrorCode::kInternal,
                      "WebP: encoding failed with libwebp's error " + std::to_string(source.error_code));
}

}  // namespace

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  return std::make_unique<StillEncoder>(
      [options, &job](const Picture& picture, sdk::Output& output) { encode(to_rgb(picture), options, output, job); });
}

}  // namespace quern::image::webp
