// GIFs as others write them, by giflib's own encoder: with what ours never makes.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/unit/jobs/pictures.h"

namespace quern::image {

struct GifPicture {
  cv::Rect area{0, 0, 4, 4};
  std::uint8_t index = 1;  // of all its pixels
  int disposal = 0;
  int delay_cs = 5;
  int transparent = -1;
  bool interlaced = false;
  std::vector<std::uint32_t> palette{};  // 0xrrggbb; empty: the file's
  std::vector<std::uint8_t> rows{};      // instead of `index`
};

struct Gif {
  cv::Size canvas{4, 4};
  std::vector<std::uint32_t> palette{0x000000, 0xff0000, 0x00ff00, 0x0000ff};
  int netscape = -1;  // its loop count, or no extension
  std::vector<GifPicture> pictures{};
};
[[nodiscard]] File gif_of(const Gif& gif);

}  // namespace quern::image
