#include "worker/jobs/image/codecs/tiff_file.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

#include "worker/jobs/image/codecs/handle.h"

namespace quern::image::tiff {

// libtiff's view of a file.
struct Callbacks {
  static TiffFile& of(thandle_t handle) { return *static_cast<TiffFile*>(handle); }

  static tmsize_t read(thandle_t handle, void* to, tmsize_t size) {
    TiffFile& file = of(handle);
    const Bytes all = file.in_.empty() ? Bytes(file.out_) : file.in_;
    if (file.at_ >= all.size()) return 0;
    const std::size_t count = std::min(static_cast<std::size_t>(size), all.size() - file.at_);
    std::memcpy(to, all.data() + file.at_, count);
    file.at_ += count;
    return static_cast<tmsize_t>(count);
  }

  static tmsize_t write(thandle_t handle, void* from, tmsize_t size) {
    TiffFile& file = of(handle);
    try {
      const auto count = static_cast<std::size_t>(size);
      if (file.out_.size() < file.at_ + count) file.out_.resize(file.at_ + count);
      std::memcpy(file.out_.data() + file.at_, from, count);
      file.at_ += count;
      return size;
    } catch (const std::bad_alloc&) {
      return -1;
    }
  }

  static toff_t seek(thandle_t handle, toff_t offset, int whence) {
    TiffFile& file = of(handle);
    const std::size_t size = file.in_.empty() ? file.out_.size() : file.in_.size();
    if (whence == SEEK_CUR) offset += file.at_;
    if (whence == SEEK_END) offset += size;
    file.at_ = static_cast<std::size_t>(offset);
    return offset;
  }

  static toff_t size(thandle_t handle) {
    const TiffFile& file = of(handle);
    return file.in_.empty() ? file.out_.size() : file.in_.size();
  }

  static int close(thandle_t /*handle*/) { return 0; }

  // Reading, the bytes are there already.
  static int map(thandle_t handle, void** base, toff_t* size) {
    const TiffFile& file = of(handle);
    if (file.in_.empty()) return 0;
    *base = const_cast<std::byte*>(file.in_.data());  // libtiff only reads it
    *size = file.in_.size();
    return 1;
  }
  static void unmap(thandle_t /*handle*/, void* /*base*/, toff_t /*size*/) {}

  static void note(TiffFile& file, const char* format, va_list arguments) {
    if (file.failed()) return;  // the first one is the cause
    std::array<char, 256> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    file.error_ = text.data();
    if (file.error_.empty()) file.error_ = "it can't be read";
  }
  static int on_error(TIFF* /*tiff*/, void* user, const char* /*module*/, const char* format, va_list arguments) {
    note(*static_cast<TiffFile*>(user), format, arguments);
    return 1;
  }
  // Before pixels, unknown tags and the like, which cost none.
  static int on_warning(TIFF* /*tiff*/, void* user, const char* /*module*/, const char* format, va_list arguments) {
    TiffFile& file = *static_cast<TiffFile*>(user);
    if (file.reads_pixels_ && file.fail_on_ == FailOn::kWarning) note(file, format, arguments);
    return 1;
  }
};

TiffFile::TiffFile(Bytes bytes, FailOn fail_on) : in_(bytes), fail_on_(fail_on) {
  open("r");
  if (!tiff_) fail(sdk::JobErrorCode::kBadInput);
}

TiffFile::TiffFile() {
  open("w");
  if (!tiff_) throw std::bad_alloc();
}

void TiffFile::open(const char* mode) {
  const Handle<TIFFOpenOptions, TIFFOpenOptionsFree> options(TIFFOpenOptionsAlloc());
  if (!options) throw std::bad_alloc();
  constexpr tmsize_t kAllocationMax = tmsize_t{1} << 30;
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kAllocationMax);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), Callbacks::on_error, this);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), Callbacks::on_warning, this);
  tiff_.reset(TIFFClientOpenExt("memory", mode, this, Callbacks::read, Callbacks::write, Callbacks::seek,
                                Callbacks::close, Callbacks::size, Callbacks::map, Callbacks::unmap, options.get()));
}

void TiffFile::fail(sdk::JobErrorCode code) const {
  throw sdk::JobError(code, "TIFF: " + (error_.empty() ? std::string("it can't be read") : error_));
}

void TiffFile::check(sdk::JobErrorCode code) const {
  if (failed() && fail_on_ != FailOn::kNone) fail(code);
}

const std::vector<std::byte>& TiffFile::finish() {
  tiff_.reset();
  if (failed()) fail(sdk::JobErrorCode::kInternal);
  return out_;
}

}  // namespace quern::image::tiff
