#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/exif.h"

namespace quern::image::webp {
namespace {

// Between two polls of the cancel word; a few milliseconds of decoding.
constexpr std::size_t kSliceBytes = 32U << 10;

const std::uint8_t* raw(Bytes bytes) { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }

[[noreturn]] void refuse(std::string_view why) {
  throw sdk::JobError(sdk::JobErrorCode::kBadInput, "WebP: " + std::string(why));
}

void check(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OK: return;
    case VP8_STATUS_OUT_OF_MEMORY: throw std::bad_alloc();
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA: refuse("the file is cut short");
    case VP8_STATUS_BITSTREAM_ERROR: refuse("the bitstream is corrupt");
    case VP8_STATUS_UNSUPPORTED_FEATURE: refuse("it uses a feature that libwebp does not know");
    default: refuse("it can't be decoded");
  }
}

[[noreturn]] void other_version() {
  throw sdk::JobError(sdk::JobErrorCode::kInternal, "libwebp has another version than this was built for");
}

// The file's chunks; the demuxer keeps pointers into `bytes`.
class Container {
 public:
  explicit Container(Bytes bytes) {
    const WebPData data{.bytes = raw(bytes), .size = bytes.size()};
    WebPDemuxState state{};
    demuxer_.reset(WebPDemuxPartial(&data, &state));
    if (!demuxer_ || state == WEBP_DEMUX_PARSE_ERROR) refuse("its chunks are malformed");
    if (state != WEBP_DEMUX_DONE) refuse("the file is cut short");
    frame_.present = WebPDemuxGetFrame(demuxer_.get(), 1, &frame_.iterator) != 0;
    if (!frame_.present) refuse("it has no picture");
  }

  [[nodiscard]] std::uint32_t number(WebPFormatFeature feature) const { return WebPDemuxGetI(demuxer_.get(), feature); }
  [[nodiscard]] const WebPIterator& first_frame() const { return frame_.iterator; }
  [[nodiscard]] bool frame_fills_canvas() const {
    return frame_.iterator.width == static_cast<int>(number(WEBP_FF_CANVAS_WIDTH)) &&
           frame_.iterator.height == static_cast<int>(number(WEBP_FF_CANVAS_HEIGHT));
  }
  [[nodiscard]] int orientation() const {
    WebPChunkIterator chunk{};
    if (WebPDemuxGetChunk(demuxer_.get(), "EXIF", 1, &chunk) == 0) return 1;
    const int read = exif_orientation(Bytes(reinterpret_cast<const std::byte*>(chunk.chunk.bytes), chunk.chunk.size));
    WebPDemuxReleaseChunkIterator(&chunk);
    return read;
  }

 private:
  struct Delete {
    void operator()(WebPDemuxer* demuxer) const noexcept { WebPDemuxDelete(demuxer); }
  };
  struct Frame {
    WebPIterator iterator{};
    bool present = false;
    Frame() = default;
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    ~Frame() {
      if (present) WebPDemuxReleaseIterator(&iterator);
    }
  };
  std::unique_ptr<WebPDemuxer, Delete> demuxer_;
  Frame frame_;
};

// Decodes one bitstream into `target`, slice by slice.
void decode_into(cv::Mat target, Bytes bitstream, const sdk::Job& job) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) other_version();
  config.output.colorspace = target.channels() == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = target.data;
  config.output.u.RGBA.stride = static_cast<int>(target.step[0]);
  config.output.u.RGBA.size = target.step[0] * static_cast<std::size_t>(target.rows - 1) +
                              static_cast<std::size_t>(target.cols) * target.elemSize();
  const std::unique_ptr<WebPIDecoder, void (*)(WebPIDecoder*)> decoder(WebPIDecode(nullptr, 0, &config), WebPIDelete);
  if (!decoder) throw std::bad_alloc();
  VP8StatusCode status = VP8_STATUS_SUSPENDED;
  for (std::size_t known = 0; known < bitstream.size() && status == VP8_STATUS_SUSPENDED;) {
    job.throw_if_cancelled();
    known = std::min(known + kSliceBytes, bitstream.size());
    status = WebPIUpdate(decoder.get(), raw(bitstream), known);
  }
  check(status);
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

struct Picture : WebPPicture {
  Picture() : WebPPicture{} {
    if (WebPPictureInit(this) == 0) other_version();
  }
  Picture(const Picture&) = delete;
  Picture& operator=(const Picture&) = delete;
  ~Picture() { WebPPictureFree(this); }
};

}  // namespace

Header read_header(Bytes bytes) {
  const Container container(bytes);
  return {.format = Format::kWebp,
          .width = container.number(WEBP_FF_CANVAS_WIDTH),
          .height = container.number(WEBP_FF_CANVAS_HEIGHT),
          .orientation = container.orientation(),
          .alpha = container.first_frame().has_alpha != 0 || !container.frame_fills_canvas()};
}

cv::Mat decode(Bytes bytes, const Header& header, const sdk::Job& job) {
  const Container container(bytes);
  const WebPIterator& frame = container.first_frame();
  const cv::Size canvas(static_cast<int>(header.width), static_cast<int>(header.height));
  cv::Mat picture(canvas, header.alpha ? CV_8UC4 : CV_8UC3);
  if (!container.frame_fills_canvas()) picture.setTo(cv::Scalar::all(0));
  // the demuxer has checked that the frame lies inside of the canvas
  decode_into(picture(cv::Rect(frame.x_offset, frame.y_offset, frame.width, frame.height)),
              Bytes(reinterpret_cast<const std::byte*>(frame.fragment.bytes), frame.fragment.size), job);
  return picture;
}

void encode(const cv::Mat& picture, int quality, sdk::Output& output, const sdk::Job& job) {
  WebPConfig config;
  if (WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, static_cast<float>(quality)) == 0) other_version();
  Sink sink{.output = &output, .job = &job};
  Picture source;
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

}  // namespace quern::image::webp
