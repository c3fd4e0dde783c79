#include "tests/unit/jobs/gifs.h"

#include <gif_lib.h>

#include <array>
#include <utility>

namespace quern::image {
namespace {

int append(GifFileType* file, const GifByteType* bytes, int size) {
  auto* out = static_cast<File*>(file->UserData);
  const auto* first = reinterpret_cast<const std::byte*>(bytes);
  out->insert(out->end(), first, first + size);
  return size;
}

ColorMapObject* map_of(const std::vector<std::uint32_t>& palette) {
  if (palette.empty()) return nullptr;
  std::vector<GifColorType> colors;
  for (const std::uint32_t color : palette) {
    colors.push_back({static_cast<GifByteType>(color >> 16), static_cast<GifByteType>(color >> 8 & 255),
                      static_cast<GifByteType>(color & 255)});
  }
  return GifMakeMapObject(static_cast<int>(colors.size()), colors.data());
}

}  // namespace

File gif_of(const Gif& gif) {
  File out;
  int failure = 0;
  GifFileType* file = EGifOpen(&out, append, &failure);
  EGifSetGifVersion(file, true);
  ColorMapObject* global = map_of(gif.palette);
  EGifPutScreenDesc(file, gif.canvas.width, gif.canvas.height, 8, 0, global);
  if (gif.netscape >= 0) {
    const std::array<GifByteType, 3> loops{1, static_cast<GifByteType>(gif.netscape),
                                           static_cast<GifByteType>(gif.netscape >> 8)};
    EGifPutExtensionLeader(file, APPLICATION_EXT_FUNC_CODE);
    EGifPutExtensionBlock(file, 11, "NETSCAPE2.0");
    EGifPutExtensionBlock(file, 3, loops.data());
    EGifPutExtensionTrailer(file);
  }
  for (const GifPicture& picture : gif.pictures) {
    const GraphicsControlBlock control{.DisposalMode = picture.disposal,
                                       .UserInputFlag = false,
                                       .DelayTime = picture.delay_cs,
                                       .TransparentColor = picture.transparent};
    std::array<GifByteType, 4> packed{};
    EGifGCBToExtension(&control, packed.data());
    EGifPutExtension(file, GRAPHICS_EXT_FUNC_CODE, 4, packed.data());
    ColorMapObject* local = map_of(picture.palette);
    const cv::Rect& area = picture.area;
    if (local == nullptr) GifFreeMapObject(std::exchange(file->Image.ColorMap, nullptr));  // giflib forgets it
    EGifPutImageDesc(file, area.x, area.y, area.width, area.height, picture.interlaced, local);
    std::vector<std::uint8_t> rows = picture.rows;
    rows.resize(static_cast<std::size_t>(area.area()), picture.index);
    for (int y = 0; y < area.height; ++y) {
      EGifPutLine(file, rows.data() + static_cast<std::ptrdiff_t>(y) * area.width, area.width);
    }
    GifFreeMapObject(local);
  }
  GifFreeMapObject(global);
  EGifCloseFile(file, &failure);
  return out;
}

}  // namespace quern::image
