// libtiff over bytes in memory, with its messages where they belong: in errors, never on standard error.
#pragma once

#include <tiffio.h>

#include <memory>
#include <string>
#include <vector>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/codecs/handle.h"

namespace quern::image::tiff {

// A file that is read, or one that is written. Must stay where it is: libtiff keeps its address.
class TiffFile {
 public:
  TiffFile(Bytes bytes, FailOn fail_on);
  TiffFile();  // to write
  TiffFile(const TiffFile&) = delete;
  TiffFile& operator=(const TiffFile&) = delete;

  [[nodiscard]] TIFF* handle() const { return tiff_.get(); }
  // Throws with libtiff's reason.
  [[noreturn]] void fail(sdk::JobErrorCode code) const;
  // What libtiff warns of from now on is damage of pixels, as of a strip's JPEG: an error with FailOn::kWarning.
  void expect_pixels() { reads_pixels_ = true; }
  // Throws if libtiff complained of something that is an error at this level.
  void check(sdk::JobErrorCode code) const;
  [[nodiscard]] bool failed() const { return !error_.empty(); }

  // Ends writing: the whole file.
  [[nodiscard]] const std::vector<std::byte>& finish();

 private:
  void open(const char* mode);

  Bytes in_{};
  std::vector<std::byte> out_{};
  std::size_t at_ = 0;
  FailOn fail_on_ = FailOn::kWarning;
  std::string error_{};
  bool reads_pixels_ = false;
  Handle<TIFF, TIFFClose> tiff_;

  friend struct Callbacks;
};

}  // namespace quern::image::tiff
