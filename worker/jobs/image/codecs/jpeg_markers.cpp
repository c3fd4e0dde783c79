#include "worker/jobs/image/codecs/jpeg_markers.h"

#include <algorithm>
#include <cstring>

namespace quern::image::jpeg {
namespace {

constexpr int kExifMarker = JPEG_APP0 + 1;  // XMP's, too
constexpr int kIccMarker = JPEG_APP0 + 2;
constexpr std::string_view kIccPrefix("ICC_PROFILE\0", 12);  // then a piece's number, from 1, and how many there are
constexpr std::size_t kIccHead = kIccPrefix.size() + 2;

// What follows the prefix; empty if something else begins so.
Bytes behind(Bytes data, std::string_view prefix) {
  if (data.size() <= prefix.size() || std::memcmp(data.data(), prefix.data(), prefix.size()) != 0) return {};
  return data.subspan(prefix.size());
}

// The next byte, as libjpeg's own readers of markers get it: behind its end a file goes on with end markers.
unsigned next_byte(j_decompress_ptr codec) {
  jpeg_source_mgr& source = *codec->src;
  if (source.bytes_in_buffer == 0) (void)source.fill_input_buffer(codec);
  --source.bytes_in_buffer;
  return *source.next_input_byte++;
}

}  // namespace

void Markers::watch(jpeg_decompress_struct& codec) {
  codec.client_data = this;
  jpeg_set_marker_processor(&codec, kExifMarker, on_marker);
  jpeg_set_marker_processor(&codec, kIccMarker, on_marker);
}

// In libjpeg's frames, which errors leave by longjmp: it holds nothing with a destructor.
boolean Markers::on_marker(j_decompress_ptr codec) {
  constexpr unsigned kLengthBytes = 2;  // a segment's length counts itself
  const unsigned high = next_byte(codec);
  const unsigned length = high << 8 | next_byte(codec);
  if (length < kLengthBytes) ERREXIT(codec, JERR_BAD_LENGTH);
  const std::size_t size = length - kLengthBytes;
  const jpeg_source_mgr& source = *codec->src;
  if (size <= source.bytes_in_buffer) {
    const auto* first = reinterpret_cast<const std::byte*>(source.next_input_byte);
    static_cast<Markers*>(codec->client_data)->note(codec->unread_marker, {first, size});
  }
  if (size > 0) codec->src->skip_input_data(codec, static_cast<long>(size));
  return TRUE;
}

void Markers::note(int marker, Bytes data) {
  if (marker == kExifMarker) {
    if (exif_.empty()) exif_ = behind(data, kExifPrefix);
    if (xmp_.empty()) xmp_ = behind(data, kXmpPrefix);
    return;
  }
  const Bytes piece = behind(data, kIccPrefix);
  if (data.size() < kIccHead || piece.empty() || piece[0] == std::byte{0}) return;
  Bytes& place = icc_[std::to_integer<std::size_t>(piece[0]) - 1];
  if (place.empty()) place = piece;
}

std::vector<std::byte> Markers::icc() const {
  if (icc_[0].empty()) return {};
  const std::byte count = icc_[0][1];
  std::vector<std::byte> profile;
  for (std::size_t i = 0; i < std::to_integer<std::size_t>(count); ++i) {
    if (icc_[i].empty() || icc_[i][1] != count) return {};
    const Bytes piece = icc_[i].subspan(2);
    profile.insert(profile.end(), piece.begin(), piece.end());
  }
  return profile.size() <= kMetadataBytesMax ? profile : std::vector<std::byte>();
}

}  // namespace quern::image::jpeg
