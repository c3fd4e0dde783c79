#include "worker/jobs/image/codecs/gif_writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "worker/jobs/image/codecs/handle.h"

namespace quern::image::gif {
namespace {

constexpr int kRowsPerPoll = 16;

using ColorMap = Handle<ColorMapObject, GifFreeMapObject>;

// Padded to the power of two that the format wants.
ColorMap color_map(std::span<const Color> palette) {
  const std::size_t size = std::max<std::size_t>(2, std::bit_ceil(palette.size()));
  ColorMap map(GifMakeMapObject(static_cast<int>(size), nullptr));
  if (!map) throw std::bad_alloc();
  std::ranges::fill(std::span(map->Colors, size), GifColorType{});
  for (std::size_t i = 0; i < palette.size(); ++i) map->Colors[i] = {palette[i].r, palette[i].g, palette[i].b};
  return map;
}

}  // namespace

Writer::Writer(const WriterOptions& options, const sdk::Job& job) : options_(options), job_(job) {
  int failure = 0;
  file_ = EGifOpen(this, write, &failure);
  if (file_ == nullptr) throw std::bad_alloc();
}

Writer::~Writer() {
  if (file_ != nullptr) EGifCloseFile(file_, nullptr);
}

int Writer::write(GifFileType* file, const GifByteType* bytes, int size) {
  auto* writer = static_cast<Writer*>(file->UserData);
  try {
    const auto* first = reinterpret_cast<const std::byte*>(bytes);
    writer->bytes_.insert(writer->bytes_.end(), first, first + size);
    return size;
  } catch (...) {
    writer->failure_ = std::current_exception();
    return 0;
  }
}

void Writer::check(int status) const {
  if (status == GIF_OK) return;
  if (failure_) std::rethrow_exception(failure_);
  if (file_->Error == E_GIF_ERR_NOT_ENOUGH_MEM) throw std::bad_alloc();
  const char* reason = GifErrorString(file_->Error);
  throw sdk::JobError(sdk::JobErrorCode::kInternal, std::string("GIF: ") + (reason != nullptr ? reason : "failed"));
}

void Writer::begin(const Part& first) {
  constexpr int kColorResolution = 8;
  palette_.assign(first.palette.begin(), first.palette.end());
  EGifSetGifVersion(file_, true);
  check(EGifPutScreenDesc(file_, options_.canvas.width, options_.canvas.height, kColorResolution, 0,
                          color_map(palette_).get()));
  begun_ = true;
  if (!options_.animated || options_.loops == 1) return;
  // how often it is repeated after the first time, or 0
  const std::uint32_t repeats = options_.loops == 0 ? 0 : std::min(options_.loops - 1, 0xffffU);
  const std::array<GifByteType, 3> loops{1, static_cast<GifByteType>(repeats), static_cast<GifByteType>(repeats >> 8)};
  check(EGifPutExtensionLeader(file_, APPLICATION_EXT_FUNC_CODE));
  check(EGifPutExtensionBlock(file_, 11, "NETSCAPE2.0"));
  check(EGifPutExtensionBlock(file_, static_cast<int>(loops.size()), loops.data()));
  check(EGifPutExtensionTrailer(file_));
}

void Writer::add(const Part& part) {
  if (!begun_) begin(part);
  constexpr std::uint32_t kUnitMs = 10;
  GraphicsControlBlock control{};
  control.DisposalMode = part.vanishes ? DISPOSE_BACKGROUND : options_.animated ? DISPOSE_DO_NOT : DISPOSAL_UNSPECIFIED;
  control.DelayTime = static_cast<int>(std::min((part.delay_ms + kUnitMs / 2) / kUnitMs, 0xffffU));
  control.TransparentColor = part.transparent < 0 ? NO_TRANSPARENT_COLOR : part.transparent;
  std::array<GifByteType, 4> packed{};
  (void)EGifGCBToExtension(&control, packed.data());
  check(EGifPutExtension(file_, GRAPHICS_EXT_FUNC_CODE, static_cast<int>(packed.size()), packed.data()));
  const bool shared = std::ranges::equal(part.palette, palette_);
  const ColorMap own = shared ? ColorMap() : color_map(part.palette);
  // giflib 5.2.1 forgets the palette of the picture before when this one has none
  if (!own) GifFreeMapObject(std::exchange(file_->Image.ColorMap, nullptr));
  check(EGifPutImageDesc(file_, part.at.x, part.at.y, part.indices.cols, part.indices.rows, false, own.get()));
  std::vector<GifByteType> row(static_cast<std::size_t>(part.indices.cols));
  for (int y = 0; y < part.indices.rows; ++y) {
    if (y % kRowsPerPoll == 0) job_.throw_if_cancelled();
    std::copy_n(part.indices.ptr(y), row.size(), row.begin());  // giflib writes into it
    check(EGifPutLine(file_, row.data(), part.indices.cols));
  }
}

std::vector<std::byte> Writer::finish() {
  int failure = 0;
  const int status = EGifCloseFile(std::exchange(file_, nullptr), &failure);
  if (failure_) std::rethrow_exception(failure_);
  if (status != GIF_OK) throw sdk::JobError(sdk::JobErrorCode::kInternal, "GIF: the file can't be ended");
  return std::move(bytes_);
}

}  // namespace quern::image::gif
