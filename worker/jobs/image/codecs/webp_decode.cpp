#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/codecs/formats.h"

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
  [[nodiscard]] int orientation() const { return exif_orientation(chunk("EXIF")); }
  // Empty when there is none.
  [[nodiscard]] std::vector<std::byte> chunk(const char* name) const {
    WebPChunkIterator found{};
    if (WebPDemuxGetChunk(demuxer_.get(), name, 1, &found) == 0) return {};
    const auto* bytes = reinterpret_cast<const std::byte*>(found.chunk.bytes);
    std::vector<std::byte> copy(bytes, bytes + std::min(found.chunk.size, kMetadataBytesMax));
    WebPDemuxReleaseChunkIterator(&found);
    return copy;
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

Header read_header(const Container& container) {
  Header read{.format = Format::kWebp,
              .width = container.number(WEBP_FF_CANVAS_WIDTH),
              .height = container.number(WEBP_FF_CANVAS_HEIGHT)};
  read.orientation = container.orientation();
  read.alpha = container.first_frame().has_alpha != 0 || !container.frame_fills_canvas();
  return read;
}

class WebpDecoder final : public Decoder {
 public:
  WebpDecoder(Bytes bytes, const sdk::Job& job) : WebpDecoder(std::make_unique<Container>(bytes), job) {}

  [[nodiscard]] Metadata metadata() override {
    return {.icc = container_->chunk("ICCP"), .exif = container_->chunk("EXIF"), .xmp = container_->chunk("XMP ")};
  }

  [[nodiscard]] Frame next(const DecodeOptions& /*options*/) override {
    const WebPIterator& frame = container_->first_frame();
    const cv::Size canvas(static_cast<int>(header().width), static_cast<int>(header().height));
    cv::Mat picture(canvas, header().alpha ? CV_8UC4 : CV_8UC3);
    if (!container_->frame_fills_canvas()) picture.setTo(cv::Scalar::all(0));
    // the demuxer has checked that the frame lies inside of the canvas
    decode_into(picture(cv::Rect(frame.x_offset, frame.y_offset, frame.width, frame.height)),
                Bytes(reinterpret_cast<const std::byte*>(frame.fragment.bytes), frame.fragment.size), job_);
    return {.picture = picture};
  }

 private:
  WebpDecoder(std::unique_ptr<Container> container, const sdk::Job& job)
      : Decoder(read_header(*container)), container_(std::move(container)), job_(job) {}

  std::unique_ptr<Container> container_;
  const sdk::Job& job_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn /*fail_on*/, const sdk::Job& job) {
  return std::make_unique<WebpDecoder>(bytes, job);
}

}  // namespace quern::image::webp
