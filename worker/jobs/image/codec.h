// The codecs behind one shape: header first, pixels only when the header was accepted.
//
//     JPEG   libjpeg-turbo   scaled decoding (1/2, 1/4, 1/8 in the DCT), planes as stored, every warning seen
//     PNG    libspng         strict about CRCs and truncation, small attack surface; libdeflate to write
//     WebP   libwebp         the format's own, with its demuxer and animation encoder
//     GIF    giflib    TIFF   libtiff    AVIF   libavif    BMP   ours
//
// OpenCV's imgcodecs would hide what these say: it prints warnings and returns grey rows for a truncated JPEG.
//
// Decoders throw sdk::JobError(kBadInput) with the library's own reason, prefixed with the format ("JPEG: ..."), and
// take no memory for pixels before next(), whatever the header claims. Decoders and encoders poll the job's
// cancel word every few rows, and throw kCancelled. std::bad_alloc is what it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "worker/jobs/image/picture.h"
#include "worker/sdk/job.h"

namespace quern::image {

using Bytes = std::span<const std::byte>;

enum class Format {
  kJpeg,
  kPng,
  kWebp,
  kGif,
  kTiff,
  kAvif,
  kBmp,         // read only
  kPlaceholder  // written only, and no picture: placeholder.h
};

// "jpeg", "png", ...: as parameters and image.info name it.
[[nodiscard]] std::string_view name_of(Format format);

// How damaged a picture may be that is decoded all the same; each level includes those before it.
enum class FailOn {
  kNone,       // whatever pixels there are; what is missing stays as it is
  kTruncated,  // the file ends too early
  kError,      // the decoder's errors
  kWarning,    // its warnings, too
};

// What a file is stored as.
enum class ColorSpace { kRgb, kGrey, kCmyk };

struct Header {
  Format format{};
  std::uint32_t width = 0;  // as stored: `orientation` may turn the picture on its side; of an animation, the canvas
  std::uint32_t height = 0;
  int orientation = 1;  // EXIF's, 1 to 8
  bool alpha = false;   // anything may be transparent
  // Of decoders that follow DecodeOptions::shrink, JPEGs' in the DCT and still opaque WebPs' by averages: how many
  // times the pixels that are needed, each way, they should leave to a better kernel. 0: it is not followed. (libwebp
  // would average the colour of invisible pixels, too.)
  double shrink_headroom = 0;
  std::uint64_t scratch_bytes = 0;  // that decoding takes beside the picture, where the file decides about it
  // The rest is for image.info and for deciding how to write.
  ColorSpace space = ColorSpace::kRgb;
  int depth = 8;             // bits a channel, as stored (a palette's colours have 8)
  int palette_bits = 0;      // 1 to 8 for pictures with a palette, else 0
  bool progressive = false;  // JPEG's scans, PNG's and GIF's interlacing
  bool lossless = true;
  std::string_view chroma_subsampling{};  // "4:2:0", "4:4:4", ...; empty where nothing is subsampled by its format
  std::uint32_t frames = 1;
  std::uint32_t loops = 0;                 // of an animation: 0 is for ever
  std::vector<std::uint32_t> delays_ms{};  // of an animation, a frame each
  double density = 0;                      // pixels an inch; 0: not said

  [[nodiscard]] cv::Size size() const { return {static_cast<int>(width), static_cast<int>(height)}; }
  [[nodiscard]] std::uint64_t pixels() const { return std::uint64_t{width} * height; }
};

// What surrounds the pixels, as stored.
struct Metadata {
  std::vector<std::byte> icc{};   // a whole profile
  std::vector<std::byte> exif{};  // a TIFF structure, without "Exif\0\0" before it
  std::vector<std::byte> xmp{};   // an XML packet
  [[nodiscard]] std::size_t size() const { return icc.size() + exif.size() + xmp.size(); }
};
// Longer ones are left out, each by itself: they would be carried through memory for nobody.
inline constexpr std::size_t kMetadataBytesMax = 4U << 20;

// What a JPEG's marker has room for, behind what says which of the two it is: an encoder takes no more.
inline constexpr std::size_t kJpegExifBytesMax = 65'533 - 6;
inline constexpr std::size_t kJpegXmpBytesMax = 65'533 - 29;

// The same, somebody else's.
struct MetadataView {
  Bytes icc{};
  Bytes exif{};
  Bytes xmp{};
  [[nodiscard]] bool empty() const { return icc.empty() && exif.empty() && xmp.empty(); }
};

struct Frame {
  Picture picture;
  std::uint32_t delay_ms = 0;
  // The file's whole picture, in pixels of this one, and where in it this one lies. Empty: this is the whole.
  cv::Size2d whole{};
  cv::Point2d offset{};
};

struct DecodeOptions {
  // 1, 2, 4 or 8: what has a shrink_headroom comes that many times smaller each way (rounded up); the rest as it is
  // stored.
  std::uint32_t shrink = 1;
  // The caller takes a YuvPicture where the file is stored so.
  bool yuv_welcome = false;
  // Only these pixels are needed, of the picture as stored and not shrunk; empty: all. A codec that can leaves out
  // what lies around them, and says so in the frame.
  cv::Rect region{};
};

// One file's reader. Holds on to the bytes it was opened with and to the job.
class Decoder {
 public:
  virtual ~Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  [[nodiscard]] const Header& header() const { return header_; }
  // May parse more of the file; never decodes pixels. EXIF that is none is left out.
  [[nodiscard]] Metadata metadata();
  // The next of header().frames, composed with those before it as the format says: always of the canvas' size.
  // Pixels are as the file's own profile means them, CMYK excepted: its RGB is computed here (color.h).
  [[nodiscard]] virtual Frame next(const DecodeOptions& options) = 0;

 protected:
  explicit Decoder(Header header) : header_(std::move(header)) {}
  // As the file has it.
  [[nodiscard]] virtual Metadata read_metadata() = 0;
  Header header_;
};

// By what the bytes are, not by any name. `job` is polled while decoding.
[[nodiscard]] std::unique_ptr<Decoder> open_decoder(Bytes bytes, FailOn fail_on, const sdk::Job& job);

inline constexpr int kBlurHashWavesMax = 9;
inline constexpr int kPlaceholderSideMax = 64;  // pixels

// How many waves a BlurHash has each way: 1 to kBlurHashWavesMax.
struct BlurHashSize {
  int across = 4;
  int down = 3;
};

struct PlaceholderOptions {
  BlurHashSize blurhash{};
  std::uint32_t side = 16;  // the longer one of the small picture, in pixels
};

struct EncodeOptions {
  Format format{};
  int quality = 80;              // 1 to 100; JPEG, WebP, AVIF, TIFF's JPEG compression, and a PNG's palette
  bool lossless = false;         // WebP, AVIF
  bool progressive = false;      // JPEG, PNG
  bool chroma_full = false;      // "4:4:4" instead of "4:2:0": JPEG, AVIF
  bool optimise_coding = true;   // JPEG: Huffman tables of its own
  int compression_level = 6;     // PNG: 0 to 9
  bool palette = false;          // PNG: at most `colors` colours, chosen for this picture
  int colors = 256;              // PNG with a palette, GIF: 2 to 256
  double dither = 1.0;           // PNG with a palette, GIF: 0 to 1
  int alpha_quality = 100;       // WebP: 0 to 100
  bool near_lossless = false;    // WebP: `quality` says how near
  bool smart_subsample = false;  // WebP: slower, sharper chroma
  std::optional<int> effort{};   // WebP 0 to 6, AVIF 0 to 9, GIF and PNG palettes 1 to 10; more is slower and smaller
  int bit_depth = 8;             // AVIF: 8, 10 or 12; PNG palettes: 1, 2, 4 or 8
  enum class TiffCompression { kNone, kLzw, kDeflate, kJpeg, kPackbits } tiff_compression = TiffCompression::kLzw;
  PlaceholderOptions placeholder{};
  std::uint32_t frames = 1;  // that will be added
  std::uint32_t loops = 0;   // of an animation: 0 is for ever
  // How the picture lies, where that is not said by EXIF: TIFF's tag.
  int orientation = 1;
  bool grey = false;        // the picture has no colour: written with one channel where the format can
  MetadataView metadata{};  // written into the file where the format can hold it; must outlive the encoder
};

// One part of the result in the making.
class Encoder {
 public:
  virtual ~Encoder() = default;
  // `options.frames` times, no side over side_max_of(). A JPEG's or BMP's picture must have no alpha.
  virtual void add(const Frame& frame) = 0;
  // After the last: writes the file.
  virtual void finish(sdk::Output& output) = 0;
};

// How the encoder would have its pictures, so that nothing is converted twice; nothing: RGB.
[[nodiscard]] std::optional<YuvLayout> preferred_layout(const EncodeOptions& options);

// The longest side, in pixels, that a file of this format can have.
[[nodiscard]] std::uint32_t side_max_of(Format format);

// Of all that are pictures.
[[nodiscard]] std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job);

}  // namespace quern::image
