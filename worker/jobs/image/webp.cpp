#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>

#include <exception>
#include <memory>
#include <string>

#include "worker/jobs/image/codec.h"

namespace quern::image::webp {
namespace {

const std::uint8_t* raw(Bytes bytes) { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }

std::string_view reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA: return "the file is cut short";
    case VP8_STATUS_BITSTREAM_ERROR: return "the bitstream is corrupt";
    case VP8_STATUS_UNSUPPORTED_FEATURE: return "it uses a feature that libwebp does not know";
    case VP8_STATUS_OUT_OF_MEMORY: return "out of memory";
    default: return "it can't be decoded";
  }
}

[[noreturn]] void refuse(std::string_view why) {
  throw sdk::JobError(sdk::JobErrorCode::kBadInput, "WebP: " + std::string(why));
}

int orientation_of(Bytes bytes) {
  const WebPData data{.bytes = raw(bytes), .size = bytes.size()};
  const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> demuxer(WebPDemux(&data), WebPDemuxDelete);
  if (!demuxer) return 1;
  WebPChunkIterator chunk{};
  if (WebPDemuxGetChunk(demuxer.get(), "EXIF", 1, &chunk) == 0) return 1;
  const int orientation = exif_orientation(Bytes(reinterpret_cast<const std::byte*>(chunk.chunk.bytes), chunk.chunk.size));
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

// What the writer callback needs; an exception waits here until libwebp's frames are left.
struct Sink {
  sdk::Output* output;
  std::exception_ptr failure;
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

}  // namespace

Header read_header(Bytes bytes) {
  WebPBitstreamFeatures features{};
  const VP8StatusCode status = WebPGetFeatures(raw(bytes), bytes.size(), &features);
  if (status != VP8_STATUS_OK) refuse(reason(status));
  if (features.has_animation != 0) refuse("it is an animation; only still pictures can be resized");
  return {.format = Format::kWebp,
          .width = static_cast<std::uint32_t>(features.width),
          .height = static_cast<std::uint32_t>(features.height),
          .orientation = orientation_of(bytes),
          .alpha = features.has_alpha != 0};
}

cv::Mat decode(Bytes bytes, const Header& header) {
  cv::Mat picture(static_cast<int>(header.height), static_cast<int>(header.width), header.alpha ? CV_8UC4 : CV_8UC3);
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) refuse("libwebp has another version than it was built for");
  config.output.colorspace = header.alpha ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = picture.data;
  config.output.u.RGBA.stride = static_cast<int>(picture.step[0]);
  config.output.u.RGBA.size = picture.total() * picture.elemSize();
  const VP8StatusCode status = WebPDecode(raw(bytes), bytes.size(), &config);
  if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
  if (status != VP8_STATUS_OK) refuse(reason(status));
  return picture;
}

void encode(const cv::Mat& picture, int quality, sdk::Output& output) {
  WebPConfig config;
  WebPPicture source;
  if (WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, static_cast<float>(quality)) == 0 || WebPPictureInit(&source) == 0) {
    throw sdk::JobError(sdk::JobErrorCode::kInternal, "libwebp has another version than it was built for");
  }
  Sink sink{.output = &output, .failure = nullptr};
  source.width = picture.cols;
  source.height = picture.rows;
  source.writer = write;
  source.custom_ptr = &sink;
  const int stride = static_cast<int>(picture.step[0]);
  const int imported = picture.channels() == 4 ? WebPPictureImportRGBA(&source, picture.data, stride)
                                               : WebPPictureImportRGB(&source, picture.data, stride);
  const bool encoded = imported != 0 && WebPEncode(&config, &source) != 0;
  const WebPEncodingError error = source.error_code;
  WebPPictureFree(&source);
  if (sink.failure) std::rethrow_exception(sink.failure);
  if (!encoded && (imported == 0 || error == VP8_ENC_ERROR_OUT_OF_MEMORY)) throw std::bad_alloc();
  if (!encoded) throw sdk::JobError(sdk::JobErrorCode::kInternal, "WebP: encoding failed with code " + std::to_string(error));
}

}  // namespace quern::image::webp
