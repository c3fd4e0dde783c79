#include "worker/jobs/image/codecs/gif_reader.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

namespace quern::image::gif {
namespace {

// What browsers do: a delay of 0 or 10 ms, which hardly anybody means, is 100 ms.
std::uint32_t delay_of(const GraphicsControlBlock& control) {
  constexpr std::uint32_t kUnitMs = 10;
  constexpr std::uint32_t kUnmeantMs = 10;
  constexpr std::uint32_t kMeantMs = 100;
  const auto delay_ms = static_cast<std::uint32_t>(control.DelayTime) * kUnitMs;
  return delay_ms <= kUnmeantMs ? kMeantMs : delay_ms;
}

Disposal disposal_of(const GraphicsControlBlock& control) {
  switch (control.DisposalMode) {
    case DISPOSE_BACKGROUND: return Disposal::kBackground;
    case DISPOSE_PREVIOUS: return Disposal::kPrevious;
    default: return Disposal::kKeep;
  }
}

}  // namespace

Reader::Reader(Bytes bytes, const Damage& damage)
    : damage_(damage), source_(std::make_unique<Source>(Source{.bytes = bytes})) {
  int failure = 0;
  file_ = DGifOpen(source_.get(), read, &failure);
  if (file_ != nullptr) return;
  if (failure == D_GIF_ERR_NOT_ENOUGH_MEM) throw std::bad_alloc();
  damage_.refuse(source_->at == bytes.size() ? "the file is cut short" : "its header is malformed");
}

Reader::~Reader() { DGifCloseFile(file_, nullptr); }

int Reader::read(GifFileType* file, GifByteType* to, int size) {
  auto* source = static_cast<Source*>(file->UserData);
  const std::size_t count = std::min(static_cast<std::size_t>(size), source->bytes.size() - source->at);
  std::memcpy(to, source->bytes.data() + source->at, count);
  source->at += count;
  return static_cast<int>(count);
}

bool Reader::succeeded(int status) {
  if (status == GIF_OK) return true;
  if (file_->Error == D_GIF_ERR_NOT_ENOUGH_MEM) throw std::bad_alloc();
  broken_ = true;
  if (source_->at == source_->bytes.size()) {
    damage_.report(FailOn::kTruncated, "the file is cut short");
  } else {
    const char* reason = GifErrorString(file_->Error);
    damage_.report(FailOn::kError, reason != nullptr ? reason : "it is malformed");
  }
  return false;
}

std::optional<Record> Reader::next() {
  Record record;
  while (!broken_) {
    // an end that is only missing costs nothing
    if (any_ && source_->at == source_->bytes.size()) return {};
    GifRecordType type{};
    if (!succeeded(DGifGetRecordType(file_, &type))) return {};
    if (type == TERMINATE_RECORD_TYPE) return {};
    if (type == EXTENSION_RECORD_TYPE) {
      if (!read_extension(record)) return {};
      continue;
    }
    if (!succeeded(DGifGetImageHeader(file_))) return {};
    any_ = true;
    record.area = {file_->Image.Left, file_->Image.Top, file_->Image.Width, file_->Image.Height};
    record.interlaced = file_->Image.Interlace;
    return record;
  }
  return {};
}

bool Reader::read_extension(Record& record) {
  int code = 0;
  GifByteType* block = nullptr;  // its length, then its bytes
  if (!succeeded(DGifGetExtension(file_, &code, &block))) return false;
  if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr) {
    GraphicsControlBlock control{};
    if (DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
      record.transparent = control.TransparentColor;
      record.disposal = disposal_of(control);
      record.delay_ms = delay_of(control);
    }
  }
  const auto is = [&](std::string_view name) {
    return block != nullptr && block[0] == name.size() && std::memcmp(block + 1, name.data(), name.size()) == 0;
  };
  const bool loops = code == APPLICATION_EXT_FUNC_CODE && (is("NETSCAPE2.0") || is("ANIMEXTS1.0"));
  while (block != nullptr) {
    if (!succeeded(DGifGetExtensionNext(file_, &block))) return false;
    // once more than it says, but for 0: browsers take it as how often the animation is repeated
    if (loops && block != nullptr && block[0] >= 3 && (block[1] & 7) == 1) {
      const std::uint32_t repeats = block[2] | static_cast<std::uint32_t>(block[3]) << 8;
      loops_ = repeats == 0 ? 0 : repeats + 1;
    }
  }
  return true;
}

void Reader::skip_pixels() {
  if (broken_) return;
  GifByteType* block = nullptr;
  do {
    if (!succeeded(DGifGetCodeNext(file_, &block))) return;
  } while (block != nullptr);
}

bool Reader::read_row(std::uint8_t* row, int width) { return !broken_ && succeeded(DGifGetLine(file_, row, width)); }

}  // namespace quern::image::gif
