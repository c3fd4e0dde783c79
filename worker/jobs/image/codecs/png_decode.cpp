#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/png_context.h"
#include "worker/jobs/image/codecs/png_fast.h"

namespace quern::image::png {
namespace {

// What is no pixel (text, profiles) may take this much of our memory.
constexpr std::size_t kChunkBytesMax = 8U << 20;

Context open_context(Bytes bytes, spng_ihdr& header, FailOn fail_on) {
  Context context(spng_ctx_new(0));
  if (!context) throw std::bad_alloc();
  check(spng_set_chunk_limits(context.get(), kChunkBytesMax, 2 * kChunkBytesMax));
  // a checksum that fails in a chunk that is no picture costs that chunk, not the picture
  const auto of_pixels = fail_on < FailOn::kError ? SPNG_CRC_USE : SPNG_CRC_ERROR;
  check(spng_set_crc_action(context.get(), of_pixels, SPNG_CRC_DISCARD));
  check(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()));
  check(spng_get_ihdr(context.get(), &header));
  return context;
}

bool has_alpha(spng_ctx* context, const spng_ihdr& header) {
  if (header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA || header.color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA)
    return true;
  spng_trns transparency{};
  const int failure = spng_get_trns(context, &transparency);
  if (failure != 0 && failure != SPNG_ECHUNKAVAIL) check(failure);
  return failure == 0;
}

Header read_header(Bytes bytes, FailOn fail_on) {
  spng_ihdr header{};
  const Context context = open_context(bytes, header, fail_on);
  Header read{.format = Format::kPng, .width = header.width, .height = header.height};
  read.alpha = has_alpha(context.get(), header);
  const bool grey =
      header.color_type == SPNG_COLOR_TYPE_GRAYSCALE || header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA;
  read.space = grey ? ColorSpace::kGrey : ColorSpace::kRgb;
  const bool palette = header.color_type == SPNG_COLOR_TYPE_INDEXED;
  read.depth = palette ? 8 : header.bit_depth;
  read.palette_bits = palette ? header.bit_depth : 0;
  read.progressive = header.interlace_method != SPNG_INTERLACE_NONE;
  if (spng_exif exif{}; spng_get_exif(context.get(), &exif) == 0) {
    read.orientation = exif_orientation(Bytes(reinterpret_cast<const std::byte*>(exif.data), exif.length));
  }
  constexpr double kMetresPerInch = 0.0254;
  if (spng_phys phys{}; spng_get_phys(context.get(), &phys) == 0 && phys.unit_specifier == 1) {
    read.density = phys.ppu_x * kMetresPerInch;
  }
  return read;
}

// XMP specification, part 3: an international text of this keyword.
std::vector<std::byte> xmp_of(spng_ctx* context) {
  std::uint32_t count = 0;
  if (spng_get_text(context, nullptr, &count) != 0) return {};
  std::vector<spng_text> texts(count);
  if (spng_get_text(context, texts.data(), &count) != 0) return {};
  for (const spng_text& text : texts) {
    if (std::string_view(text.keyword) != "XML:com.adobe.xmp") continue;
    const auto* bytes = reinterpret_cast<const std::byte*>(text.text);
    return {bytes, bytes + text.length};
  }
  return {};
}

// libspng takes nothing of a chunk that is cut short. For those who want what is there: the file with its last chunk
// as long as it is. Empty where nothing is to be mended.
std::vector<std::byte> mended(Bytes file) {
  constexpr std::size_t kSignatureBytes = 8;
  constexpr std::size_t kHeadBytes = 8;  // length and type
  constexpr std::size_t kCrcBytes = 4;   // wrong then, which is let pass
  for (std::size_t at = kSignatureBytes; at + kHeadBytes + kCrcBytes < file.size();) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = size << 8 | std::to_integer<std::size_t>(file[at + i]);
    const std::size_t there = file.size() - at - kHeadBytes - kCrcBytes;
    if (size <= there) {
      at += kHeadBytes + size + kCrcBytes;
      continue;
    }
    std::vector<std::byte> copy(file.begin(), file.end());
    for (std::size_t i = 0; i < 4; ++i) copy[at + i] = static_cast<std::byte>(there >> (24 - 8 * i));
    return copy;
  }
  return {};
}

class PngDecoder final : public Decoder {
 public:
  PngDecoder(Bytes bytes, FailOn fail_on, const sdk::Job& job)
      : Decoder(read_header(bytes, fail_on)), bytes_(bytes), fail_on_(fail_on), job_(job) {}

  [[nodiscard]] Metadata read_metadata() override {
    spng_ihdr header{};
    const Context context = open_context(bytes_, header, fail_on_);
    Metadata read;
    const auto keep = [](const void* data, std::size_t size) {
      const auto* bytes = static_cast<const std::byte*>(data);
      return std::vector<std::byte>(bytes, bytes + size);
    };
    if (spng_iccp icc{}; spng_get_iccp(context.get(), &icc) == 0) read.icc = keep(icc.profile, icc.profile_len);
    if (spng_exif exif{}; spng_get_exif(context.get(), &exif) == 0) read.exif = keep(exif.data, exif.length);
    read.xmp = xmp_of(context.get());
    return read;
  }

  // Every kind of PNG becomes 8-bit RGB or RGBA: grey is spread, palettes are looked up, of 16 bits the
  // upper 8 stay.
  [[nodiscard]] Frame next(const DecodeOptions& /*options*/) override {
    job_.throw_if_cancelled();
    if (std::optional<cv::Mat> fast = decode_fast(bytes_, header())) return {.picture = *std::move(fast)};
    spng_ihdr raw{};
    const std::vector<std::byte> whole = fail_on_ == FailOn::kNone ? mended(bytes_) : std::vector<std::byte>();
    const Context context = open_context(whole.empty() ? bytes_ : Bytes(whole), raw, fail_on_);
    const bool alpha = header().alpha;
    cv::Mat picture(header().size(), alpha ? CV_8UC4 : CV_8UC3);
    if (fail_on_ == FailOn::kNone) picture.setTo(cv::Scalar::all(0));
    try {
      decode_rows(context.get(), picture);
    } catch (const sdk::JobError& damage) {
      if (fail_on_ != FailOn::kNone || damage.code() != sdk::JobErrorCode::kBadInput) throw;
    }
    return {.picture = picture};
  }

 private:
  void decode_rows(spng_ctx* context, cv::Mat& picture) const {
    const bool alpha = picture.channels() == 4;
    const int format = alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
    const int flags = SPNG_DECODE_PROGRESSIVE | (alpha ? SPNG_DECODE_TRNS : 0);
    check(spng_decode_image(context, nullptr, 0, format, flags));
    for_each_row(context, job_, sdk::JobErrorCode::kBadInput, [&](std::uint32_t row) {
      return spng_decode_row(context, picture.ptr(static_cast<int>(row)), picture.step[0]);
    });
    check(spng_decode_chunks(context));  // up to the end chunk, so that a missing one is seen
  }

  Bytes bytes_;
  FailOn fail_on_;
  const sdk::Job& job_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  return std::make_unique<PngDecoder>(bytes, fail_on, job);
}

}  // namespace quern::image::png
