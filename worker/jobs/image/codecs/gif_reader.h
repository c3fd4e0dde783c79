// giflib's reader as an object: a GIF's records, one after the other, from memory.
//
// A GIF is a sequence of records: extensions, pictures, and an end. Nothing says where they are, so a header is a
// walk over the whole file, from length byte to length byte; no LZW code is looked at.
#pragma once

#include <gif_lib.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/codecs/damage.h"

namespace quern::image::gif {

enum class Disposal { kKeep, kBackground, kPrevious };

// What is known of a picture before its pixels.
struct Record {
  cv::Rect area;  // may reach out of the canvas
  bool interlaced = false;
  int transparent = -1;  // the index, or -1
  Disposal disposal = Disposal::kKeep;
  std::uint32_t delay_ms = 0;
};

class Reader {
 public:
  // Keeps pointers into `bytes`. Throws if they are no GIF.
  Reader(Bytes bytes, const Damage& damage);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader();

  // The next picture, whose pixels are then to be read or skipped; nothing at the end, or where damage that is let
  // pass hides what follows.
  [[nodiscard]] std::optional<Record> next();
  void skip_pixels();
  // Whether there was a row: after damage that is let pass there is none, and no further picture.
  [[nodiscard]] bool read_row(std::uint8_t* row, int width);

  [[nodiscard]] cv::Size canvas() const { return {file_->SWidth, file_->SHeight}; }
  // Of the picture that next() returned; null: it has none.
  [[nodiscard]] const ColorMapObject* palette() const {
    return file_->Image.ColorMap != nullptr ? file_->Image.ColorMap : file_->SColorMap;
  }
  // How often the animation is played, as far as was read: once, unless an extension says otherwise; 0 is for ever.
  [[nodiscard]] std::uint32_t loops() const { return loops_; }

 private:
  static int read(GifFileType* file, GifByteType* to, int size);
  // False where damage is let pass.
  bool succeeded(int status);
  bool read_extension(Record& record);

  struct Source {
    Bytes bytes;
    std::size_t at = 0;
  };
  const Damage& damage_;
  std::unique_ptr<Source> source_;
  GifFileType* file_ = nullptr;
  std::uint32_t loops_ = 1;
  bool any_ = false;  // picture so far
  bool broken_ = false;
};

}  // namespace quern::image::gif
