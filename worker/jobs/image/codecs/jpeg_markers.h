// The application markers of a JPEG that say something of its picture: EXIF, XMP, and the ICC profile.
//
// libjpeg can save markers, but walks the list of them for each one it adds: a few megabytes of tiny ones keep it busy
// for minutes, in which nobody can stop it. So they are noted where they lie in the file, and skipped.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "worker/jobs/image/codecs/jpeg_error.h"

namespace quern::image::jpeg {

// Of one file. Must stay where it is: libjpeg keeps its address.
class Markers {
 public:
  // Between jpeg_create_decompress and jpeg_read_header. Takes the codec's client_data. The file's bytes must stay,
  // too: what is found are pieces of them.
  void watch(jpeg_decompress_struct& codec);

  // As far as the header was read; empty if there is none. Of several, the first.
  [[nodiscard]] Bytes exif() const { return exif_; }  // a TIFF structure
  [[nodiscard]] Bytes xmp() const { return xmp_; }
  // Joined from its pieces (ICC.1, annex B.4); empty if they do not fit together.
  [[nodiscard]] std::vector<std::byte> icc() const;

 private:
  static boolean on_marker(j_decompress_ptr codec);
  void note(int marker, Bytes data);

  static constexpr std::size_t kIccPiecesMax = 255;  // they are numbered by a byte
  Bytes exif_{};
  Bytes xmp_{};
  std::array<Bytes, kIccPiecesMax> icc_{};  // by number, each behind its prefix
};

}  // namespace quern::image::jpeg
