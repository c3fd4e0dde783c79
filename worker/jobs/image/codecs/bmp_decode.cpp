#include <algorithm>
#include <array>
#include <string>

#include "worker/jobs/image/codecs/bmp_header.h"
#include "worker/jobs/image/codecs/formats.h"

namespace quern::image::bmp {
namespace {

constexpr int kRowsPerPoll = 16;

std::uint8_t byte_at(Bytes bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }

cv::Vec3b pixel_of(Color color) { return {color.r, color.g, color.b}; }

// The colours that pixels may name; those that the file has not are black.
struct Palette {
  Palette(const Layout& layout, const Damage& to) : known(layout.palette.size()), damage(to) {
    for (std::size_t i = 0; i < known; ++i) colors[i] = pixel_of(layout.palette[i]);
  }
  cv::Vec3b operator[](std::size_t index) const {
    if (index >= known) damage.report(FailOn::kError, "a pixel has a colour that its palette has not");
    return colors[index];
  }
  std::array<cv::Vec3b, 256> colors{};
  std::size_t known;
  const Damage& damage;
};

// Run-length coding, from the bottom row up. What no run covers has the first colour.
class RunLengths {
 public:
  RunLengths(const Layout& layout, const Damage& damage, const sdk::Job& job, cv::Mat& picture)
      : bytes_(layout.pixels),
        nibbles_(layout.coding == Coding::kRle4),
        palette_(layout, damage),
        damage_(damage),
        job_(job),
        picture_(picture) {
    picture_.setTo(cv::Scalar(palette_.colors[0]));
  }

  void decode() {
    constexpr unsigned kCodesPerPoll = 1U << 14;
    for (unsigned codes = 0; y_ < picture_.rows; ++codes) {
      if (codes % kCodesPerPoll == 0) job_.throw_if_cancelled();
      if (left() < 2) {  // without the mark of its end a picture may still be whole
        if (y_ < picture_.rows - 1 || x_ < picture_.cols) (void)cut_short();
        return;
      }
      const std::size_t count = take();
      const std::uint8_t value = take();
      if (count > 0) {
        for (std::size_t i = 0; i < count; ++i) put(nibbles_ ? (i % 2 == 0 ? value >> 4 : value & 15) : value);
      } else if (!escape(value)) {
        return;
      }
    }
  }

 private:
  [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }
  std::uint8_t take() { return byte_at(bytes_, at_++); }

  // False at the end of the picture.
  bool escape(std::uint8_t code) {
    switch (code) {
      case 0:
        x_ = 0;
        ++y_;
        return true;
      case 1: return false;
      case 2: return move();
      default: return literal(code);
    }
  }

  bool move() {
    if (left() < 2) return cut_short();
    x_ = std::min(x_ + take(), picture_.cols);
    y_ += take();
    return true;
  }

  // As many pixels as they are, padded to 16 bits.
  bool literal(std::size_t count) {
    const std::size_t bytes = nibbles_ ? (count + 1) / 2 : count;
    if (left() < bytes) return cut_short();
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t value = byte_at(bytes_, at_ + (nibbles_ ? i / 2 : i));
      put(nibbles_ ? (i % 2 == 0 ? value >> 4 : value & 15) : value);
    }
    at_ = std::min(bytes_.size(), at_ + bytes + bytes % 2);
    return true;
  }

  bool cut_short() const {
    damage_.report(FailOn::kTruncated, "the file is cut short");
    return false;
  }

  void put(int index) {
    if (x_ >= picture_.cols) return damage_.report(FailOn::kError, "a run goes on behind the end of its row");
    picture_.at<cv::Vec3b>(picture_.rows - 1 - y_, x_++) = palette_[static_cast<std::size_t>(index)];
  }

  Bytes bytes_;
  bool nibbles_;
  Palette palette_;
  const Damage& damage_;
  const sdk::Job& job_;
  cv::Mat& picture_;
  std::size_t at_ = 0;
  int x_ = 0;  // at most the width
  int y_ = 0;
};

class BmpDecoder final : public Decoder {
 public:
  BmpDecoder(Bytes bytes, FailOn fail_on, const sdk::Job& job)
      : Decoder({}), damage_("BMP", fail_on), layout_(read_layout(bytes, damage_)), job_(job) {
    header_.format = Format::kBmp;
    header_.width = layout_.width;
    header_.height = layout_.height;
    header_.alpha = layout_.alpha.mask() != 0;
    header_.palette_bits = layout_.bits <= 8 ? layout_.bits : 0;
    header_.density = layout_.density;
    if (layout_.bits == 16 || layout_.bits == 32) {
      header_.depth = std::max({layout_.rgb[0].bits(), layout_.rgb[1].bits(), layout_.rgb[2].bits()});
    }
  }

  [[nodiscard]] Metadata read_metadata() override {
    return {.icc = {layout_.profile.begin(), layout_.profile.end()}, .exif = {}, .xmp = {}};
  }

  [[nodiscard]] Frame next(const DecodeOptions& /*options*/) override {
    job_.throw_if_cancelled();
    const bool plain = layout_.coding == Coding::kPlain;
    // some writers leave out the last row's padding
    const std::uint64_t padding = layout_.row_bytes() - layout_.used_bytes();
    const std::uint64_t rows_there = (layout_.pixels.size() + padding) / layout_.row_bytes();
    if (plain && rows_there < layout_.height) damage_.report(FailOn::kTruncated, "the file is cut short");
    cv::Mat picture(static_cast<int>(layout_.height), static_cast<int>(layout_.width),
                    header().alpha ? CV_8UC4 : CV_8UC3);
    if (plain) {
      decode_rows(picture, static_cast<int>(std::min<std::uint64_t>(rows_there, layout_.height)));
    } else {
      RunLengths(layout_, damage_, job_, picture).decode();
    }
    if (header().alpha) make_sense_of_alpha(picture);
    return {.picture = picture};
  }

 private:
  void decode_rows(cv::Mat& picture, int rows) const {
    if (rows < picture.rows) picture.setTo(cv::Scalar::all(0));
    const Palette palette(layout_, damage_);
    const auto row_bytes = static_cast<std::size_t>(layout_.row_bytes());
    const auto used_bytes = static_cast<std::size_t>(layout_.used_bytes());
    for (int i = 0; i < rows; ++i) {
      if (i % kRowsPerPoll == 0) job_.throw_if_cancelled();
      const Bytes row = layout_.pixels.subspan(static_cast<std::size_t>(i) * row_bytes, used_bytes);
      const int y = layout_.top_down ? i : picture.rows - 1 - i;
      if (layout_.bits <= 8) {
        decode_indices(row, palette, picture.ptr<cv::Vec3b>(y));
      } else if (layout_.bits == 24) {
        decode_bytes(row, picture.ptr<cv::Vec3b>(y));
      } else if (header().alpha) {
        decode_masked(row, picture.ptr<cv::Vec4b>(y));
      } else {
        decode_masked(row, picture.ptr<cv::Vec3b>(y));
      }
    }
  }

  void decode_indices(Bytes row, const Palette& palette, cv::Vec3b* to) const {
    const auto bits = static_cast<unsigned>(layout_.bits);
    for (std::size_t x = 0; x < layout_.width; ++x) {
      const std::size_t bit = x * bits;
      const unsigned shift = 8 - bits - static_cast<unsigned>(bit % 8);
      to[x] = palette[(byte_at(row, bit / 8) >> shift) & ((1U << bits) - 1)];
    }
  }

  void decode_bytes(Bytes row, cv::Vec3b* to) const {
    for (std::size_t x = 0; x < layout_.width; ++x) {
      to[x] = {byte_at(row, 3 * x + 2), byte_at(row, 3 * x + 1), byte_at(row, 3 * x)};
    }
  }

  template <class Pixel>
  void decode_masked(Bytes row, Pixel* to) const {
    const std::size_t bytes = static_cast<std::size_t>(layout_.bits) / 8;
    for (std::size_t x = 0; x < layout_.width; ++x) {
      std::uint32_t pixel = 0;
      for (std::size_t i = bytes; i-- > 0;) pixel = pixel << 8 | byte_at(row, x * bytes + i);
      for (int c = 0; c < 3; ++c) to[x][c] = layout_.rgb[static_cast<std::size_t>(c)].of(pixel);
      if constexpr (Pixel::channels == 4) to[x][3] = layout_.alpha.of(pixel);
    }
  }

  // Many writers name a mask for alpha and leave it 0 everywhere; browsers take such a picture as opaque, and so do we.
  static void make_sense_of_alpha(cv::Mat& picture) {
    for (int y = 0; y < picture.rows; ++y) {
      const auto* row = picture.ptr<cv::Vec4b>(y);
      if (std::any_of(row, row + picture.cols, [](const cv::Vec4b& pixel) { return pixel[3] != 0; })) return;
    }
    for (int y = 0; y < picture.rows; ++y) {
      auto* row = picture.ptr<cv::Vec4b>(y);
      for (int x = 0; x < picture.cols; ++x) row[x][3] = 255;
    }
  }

  Damage damage_;
  Layout layout_;
  const sdk::Job& job_;
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  return std::make_unique<BmpDecoder>(bytes, fail_on, job);
}

}  // namespace quern::image::bmp
