#include <webp/encode.h>
#include <webp/mux.h>

#include <exception>
#include <memory>
#include <new>
#include <opencv2/core.hpp>
#include <string>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/still.h"
#include "worker/jobs/image/codecs/webp_animation.h"
#include "worker/jobs/image/codecs/webp_config.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::webp {
namespace {

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

// libwebp takes planes as they are, and only reads them.
void point_to(WebPPicture& source, const YuvPicture& picture) {
  source.use_argb = 0;
  source.colorspace = WEBP_YUV420;
  source.y = picture.planes[0].data;
  source.u = picture.planes[1].data;
  source.v = picture.planes[2].data;
  source.y_stride = static_cast<int>(picture.planes[0].step[0]);
  source.uv_stride = static_cast<int>(picture.planes[1].step[0]);
}

bool is_as_stored(const YuvPicture& picture) {
  return picture.range == YuvPicture::Range::kLimited && picture.alpha.empty() && picture.shift_x == 1 &&
         picture.shift_y == 1;
}

void import(WebPPicture& source, const cv::Mat& picture) {
  const int stride = static_cast<int>(picture.step[0]);
  const int imported = picture.channels() == 4 ? WebPPictureImportRGBA(&source, picture.data, stride)
                                               : WebPPictureImportRGB(&source, picture.data, stride);
  if (imported == 0) throw std::bad_alloc();
}

void encode(const Picture& picture, const EncodeOptions& options, Sink& sink, WebPWriterFunction writer,
            void* writer_data) {
  const WebPConfig config = config_for(options);
  Source source;
  const cv::Size size = size_of(picture);
  source.width = size.width;
  source.height = size.height;
  source.writer = writer;
  source.custom_ptr = writer_data;
  source.user_data = &sink;
  source.progress_hook = [](int /*percent*/, const WebPPicture* running) {
    return static_cast<const Sink*>(running->user_data)->job->cancel_requested() ? 0 : 1;
  };
  const auto* yuv = std::get_if<YuvPicture>(&picture);
  if (yuv != nullptr && config.lossless == 0 && config.use_sharp_yuv == 0 && is_as_stored(*yuv)) {
    point_to(source, *yuv);
  } else {
    source.use_argb =
        config.lossless != 0 || config.use_sharp_yuv != 0 ? 1 : 0;  // libwebp's own, sharper, way to planes
    import(source, to_rgb(picture));
  }
  if (WebPEncode(&config, &source) != 0) return;
  if (sink.failure) std::rethrow_exception(sink.failure);
  sink.job->throw_if_cancelled();
  if (source.error_code == VP8_ENC_ERROR_OUT_OF_MEMORY || source.error_code == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY) {
    throw std::bad_alloc();
  }
  throw sdk::JobError(sdk::JobErrorCode::kInternal,
                      "WebP: encoding failed with libwebp's error " + std::to_string(source.error_code));
}

void write_picture(const Picture& picture, const EncodeOptions& options, sdk::Output& output, const sdk::Job& job) {
  Sink sink{.output = &output, .job = &job};
  if (options.metadata.empty()) return encode(picture, options, sink, write, &sink);
  // metadata stands around the picture: it is assembled when its size is known
  Memory memory;
  encode(picture, options, sink, WebPMemoryWrite, &memory.writer);
  output.write(
      with_metadata({reinterpret_cast<const std::byte*>(memory.writer.mem), memory.writer.size}, options.metadata));
}

}  // namespace

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  if (options.frames > 1) return make_animation_encoder(options, job);
  return std::make_unique<StillEncoder>(
      [options, &job](const Picture& picture, sdk::Output& output) { write_picture(picture, options, output, job); });
}

}  // namespace quern::image::webp
