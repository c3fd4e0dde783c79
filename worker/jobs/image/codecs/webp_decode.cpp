#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/handle.h"
#include "worker/jobs/image/codecs/webp_animation.h"
#include "worker/jobs/image/codecs/webp_chunks.h"
#include "worker/jobs/image/codecs/webp_config.h"

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

// The frames' durations, from their chunks (ANMF). libwebp's iterator walks the frames from the first to each.
std::vector<std::uint32_t> delays_of(Bytes file, std::uint32_t frames) {
  constexpr std::size_t kFrameHeadBytes = 16;
  constexpr std::size_t kDurationAt = 12;  // 24 bits
  std::vector<std::uint32_t> delays;
  for (ChunkReader chunks(file); delays.size() < frames && chunks.next();) {
    const Bytes data = chunks.data();
    if (chunks.name() != "ANMF" || data.size() < kFrameHeadBytes) continue;
    delays.push_back(little_endian(data, kDurationAt, 3));
  }
  delays.resize(frames);
  return delays;
}

// The file's chunks; the demuxer keeps pointers into `bytes`.
class Container {
 public:
  Container(Bytes bytes, FailOn fail_on) {
    const WebPData data{.bytes = raw(bytes), .size = bytes.size()};
    WebPDemuxState state{};
    demuxer_.reset(WebPDemuxPartial(&data, &state));
    if (!demuxer_ || state == WEBP_DEMUX_PARSE_ERROR) refuse("its chunks are malformed");
    if (state != WEBP_DEMUX_DONE && fail_on != FailOn::kNone) refuse("the file is cut short");
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
    const std::size_t size = found.chunk.size <= kMetadataBytesMax ? found.chunk.size : 0;
    std::vector<std::byte> copy(bytes, bytes + size);
    WebPDemuxReleaseChunkIterator(&found);
    return copy;
  }

 private:
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
  Handle<WebPDemuxer, WebPDemuxDelete> demuxer_;
  Frame frame_;
};

WebPDecoderConfig config_for(cv::Mat& target) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) other_version();
  config.output.colorspace = target.channels() == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = target.data;
  config.output.u.RGBA.stride = static_cast<int>(target.step[0]);
  config.output.u.RGBA.size = target.step[0] * static_cast<std::size_t>(target.rows - 1) +
                              static_cast<std::size_t>(target.cols) * target.elemSize();
  return config;
}

WebPDecoderConfig config_for(YuvPicture& target) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) other_version();
  config.output.colorspace = MODE_YUV;
  config.output.is_external_memory = 1;
  WebPYUVABuffer& planes = config.output.u.YUVA;
  const auto stride = [&](std::size_t i) { return static_cast<int>(target.planes[i].step[0]); };
  const auto size = [&](std::size_t i) {
    return target.planes[i].step[0] * static_cast<std::size_t>(target.planes[i].rows - 1) +
           static_cast<std::size_t>(target.planes[i].cols);
  };
  planes.y = target.planes[0].data;
  planes.u = target.planes[1].data;
  planes.v = target.planes[2].data;
  planes.y_stride = stride(0);
  planes.u_stride = stride(1);
  planes.v_stride = stride(2);
  planes.y_size = size(0);
  planes.u_size = size(1);
  planes.v_size = size(2);
  return config;
}

// What of a bitstream's picture is made, and how large.
struct Extract {
  cv::Size whole;   // as stored
  cv::Rect region;  // of that
  cv::Size size;
};

// The region begins where chroma has a sample, and where the smaller picture has a pixel.
Extract extract_of(cv::Size whole, const DecodeOptions& options) {
  const auto shrink = static_cast<int>(options.shrink);
  const int grid = 2 * shrink;
  Extract extract{.whole = whole, .region = {{0, 0}, whole}, .size = {}};
  if (!options.region.empty()) {
    const cv::Point first(options.region.x / grid * grid, options.region.y / grid * grid);
    const cv::Point last((options.region.br().x + grid - 1) / grid * grid,
                         (options.region.br().y + grid - 1) / grid * grid);
    extract.region &= cv::Rect(first, last);
  }
  extract.size = {(extract.region.width + shrink - 1) / shrink, (extract.region.height + shrink - 1) / shrink};
  return extract;
}

void choose(WebPDecoderConfig& config, const Extract& extract) {
  WebPDecoderOptions& options = config.options;
  if (extract.region.size() != extract.whole) {
    options.use_cropping = 1;
    options.crop_left = extract.region.x;
    options.crop_top = extract.region.y;
    options.crop_width = extract.region.width;
    options.crop_height = extract.region.height;
  }
  if (extract.size == extract.region.size()) return;
  options.use_scaling = 1;
  options.scaled_width = extract.size.width;
  options.scaled_height = extract.size.height;
}

// Decodes one bitstream, slice by slice.
void decode_into(WebPDecoderConfig& config, Bytes bitstream, FailOn fail_on, const sdk::Job& job) {
  const Handle<WebPIDecoder, WebPIDelete> decoder(WebPIDecode(nullptr, 0, &config));
  if (!decoder) throw std::bad_alloc();
  VP8StatusCode status = VP8_STATUS_SUSPENDED;
  for (std::size_t known = 0; known < bitstream.size() && status == VP8_STATUS_SUSPENDED;) {
    job.throw_if_cancelled();
    known = std::min(known + kSliceBytes, bitstream.size());
    status = WebPIUpdate(decoder.get(), raw(bitstream), known);
  }
  if (fail_on == FailOn::kNone && status != VP8_STATUS_OUT_OF_MEMORY) return;  // what there is stays
  check(status);
}

// libwebp averages squares of pixels: at half of this a thumbnail loses 0.6 % of SSIM against an exact Lanczos.
constexpr double kShrinkHeadroom = 3;

Header read_header(const Container& container, Bytes file) {
  Header read{.format = Format::kWebp,
              .width = container.number(WEBP_FF_CANVAS_WIDTH),
              .height = container.number(WEBP_FF_CANVAS_HEIGHT)};
  read.orientation = container.orientation();
  read.alpha = container.first_frame().has_alpha != 0 || !container.frame_fills_canvas();
  const WebPData& stored = container.first_frame().fragment;
  WebPBitstreamFeatures features{};
  read.lossless = WebPGetFeatures(stored.bytes, stored.size, &features) == VP8_STATUS_OK && features.format == 2;
  if (!read.lossless) read.chroma_subsampling = "4:2:0";
  read.frames = container.number(WEBP_FF_FRAME_COUNT);
  if (read.frames == 1 && !read.alpha) read.shrink_headroom = kShrinkHeadroom;
  if (read.frames > 1) {
    read.alpha = true;  // what one frame leaves open, another may
    read.loops = container.number(WEBP_FF_LOOP_COUNT);
    read.delays_ms = delays_of(file, read.frames);
  }
  return read;
}

class WebpDecoder final : public Decoder {
 public:
  WebpDecoder(Bytes bytes, FailOn fail_on, const sdk::Job& job)
      : WebpDecoder(bytes, std::make_unique<Container>(bytes, fail_on), fail_on, job) {}

  [[nodiscard]] Metadata read_metadata() override {
    return {.icc = container_->chunk("ICCP"), .exif = container_->chunk("EXIF"), .xmp = container_->chunk("XMP ")};
  }

  [[nodiscard]] Frame next(const DecodeOptions& options) override {
    const WebPIterator& frame = container_->first_frame();
    const Bytes bitstream(reinterpret_cast<const std::byte*>(frame.fragment.bytes), frame.fragment.size);
    if (!container_->frame_fills_canvas()) return {.picture = on_canvas(frame, bitstream)};
    const cv::Size canvas = header().size();
    const Extract extract = extract_of(canvas, options);
    const cv::Point2d scale(static_cast<double>(extract.size.width) / extract.region.width,
                            static_cast<double>(extract.size.height) / extract.region.height);
    Frame made{.picture = {},
               .whole = {canvas.width * scale.x, canvas.height * scale.y},
               .offset = {extract.region.x * scale.x, extract.region.y * scale.y}};
    if (options.yuv_welcome && !header().lossless && !header().alpha) {
      made.picture = decode_yuv(extract, bitstream);
    } else {
      cv::Mat picture(extract.size, header().alpha ? CV_8UC4 : CV_8UC3);
      if (fail_on_ == FailOn::kNone) picture.setTo(cv::Scalar::all(0));
      WebPDecoderConfig config = config_for(picture);
      choose(config, extract);
      decode_into(config, bitstream, fail_on_, job_);
      made.picture = picture;
    }
    return made;
  }

 private:
  WebpDecoder(Bytes file, std::unique_ptr<Container> container, FailOn fail_on, const sdk::Job& job)
      : Decoder(read_header(*container, file)), container_(std::move(container)), fail_on_(fail_on), job_(job) {}

  // A frame that leaves some of the canvas transparent.
  [[nodiscard]] cv::Mat on_canvas(const WebPIterator& frame, Bytes bitstream) const {
    cv::Mat picture(header().size(), CV_8UC4, cv::Scalar::all(0));
    // the demuxer has checked that the frame lies inside of the canvas
    cv::Mat target = picture(cv::Rect(frame.x_offset, frame.y_offset, frame.width, frame.height));
    WebPDecoderConfig config = config_for(target);
    decode_into(config, bitstream, fail_on_, job_);
    return picture;
  }

  [[nodiscard]] YuvPicture decode_yuv(const Extract& extract, Bytes bitstream) const {
    const cv::Size size = extract.size;
    const cv::Size halved((size.width + 1) / 2, (size.height + 1) / 2);
    YuvPicture picture{.planes = {make_plane(size), make_plane(halved), make_plane(halved)},
                       .shift_x = 1,
                       .shift_y = 1,
                       .range = YuvPicture::Range::kLimited};
    if (fail_on_ == FailOn::kNone) {
      picture.planes[0].setTo(cv::Scalar(16));
      picture.planes[1].setTo(cv::Scalar(128));
      picture.planes[2].setTo(cv::Scalar(128));
    }
    WebPDecoderConfig config = config_for(picture);
    choose(config, extract);
    decode_into(config, bitstream, fail_on_, job_);
    return picture;
  }

  std::unique_ptr<Container> container_;
  FailOn fail_on_;
  const sdk::Job& job_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  auto still = std::make_unique<WebpDecoder>(bytes, fail_on, job);
  if (still->header().frames == 1) return still;
  return open_animation(bytes, still->header(), still->metadata(), fail_on, job);
}

}  // namespace quern::image::webp
