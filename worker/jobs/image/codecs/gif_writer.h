// giflib's writer as an object: a GIF's records, into memory.
#pragma once

#include <gif_lib.h>

#include <cstdint>
#include <exception>
#include <opencv2/core/mat.hpp>
#include <span>
#include <vector>

#include "worker/jobs/image/picture.h"
#include "worker/sdk/job.h"

namespace quern::image::gif {

struct WriterOptions {
  cv::Size canvas;
  bool animated = false;
  std::uint32_t loops = 0;  // how often it is played; 0 is for ever
};

struct Part {
  cv::Mat indices;  // CV_8UC1
  cv::Point at{};
  std::span<const Color> palette;
  int transparent = -1;  // an index, or none
  std::uint32_t delay_ms = 0;
  bool vanishes = false;  // before the next one comes
};

class Writer {
 public:
  Writer(const WriterOptions& options, const sdk::Job& job);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer();

  // The first part's palette is the file's, which others with the same one share.
  void add(const Part& part);
  // After the last: the whole file.
  [[nodiscard]] std::vector<std::byte> finish();

 private:
  static int write(GifFileType* file, const GifByteType* bytes, int size);
  void begin(const Part& first);
  void check(int status) const;

  WriterOptions options_;
  const sdk::Job& job_;
  std::vector<std::byte> bytes_{};
  std::exception_ptr failure_{};  // waits here until giflib's frames are left
  std::vector<Color> palette_{};
  bool begun_ = false;
  GifFileType* file_ = nullptr;
};

}  // namespace quern::image::gif
