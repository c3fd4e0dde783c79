#include "tests/fuzz/image_seeds.h"

#include <opencv2/imgproc.hpp>

#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/codecs/tiff_file.h"

namespace quern::fuzz {
namespace {

using image::EncodeOptions;
using image::File;
using image::Format;
using image::png_of;

// The first byte chooses a request of image_fuzzer.cpp; mutations change it.
void add(const Corpus& corpus, std::string_view name, const File& file, int request = 1) {
  File input = file;
  input.insert(input.begin(), static_cast<std::byte>(request));
  corpus.add("image-" + std::string(name), input);
}

File written(EncodeOptions options, const std::vector<cv::Mat>& frames) {
  static const sdk::Kind nothing{};
  sdk::FakeJob job(nothing);
  options.frames = static_cast<std::uint32_t>(frames.size());
  const auto encoder = image::make_encoder(options, job);
  for (const cv::Mat& frame : frames) encoder->add({.picture = frame, .delay_ms = 40});
  encoder->finish(job.output({}));
  return {job.bytes().begin(), job.bytes().end()};
}

// Two tiles of 16 x 16, the second in part outside of the picture.
File tiled_tiff(std::uint16_t bits, std::uint16_t samples) {
  image::tiff::TiffFile file;
  TIFF* tiff = file.handle();
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 25);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 9);
  TIFFSetField(tiff, TIFFTAG_TILEWIDTH, 16);
  TIFFSetField(tiff, TIFFTAG_TILELENGTH, 16);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, bits);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, samples);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, samples == 1 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
  std::vector<std::uint8_t> tile(static_cast<std::size_t>(TIFFTileSize(tiff)));
  for (std::size_t i = 0; i < tile.size(); ++i) tile[i] = static_cast<std::uint8_t>(i / 3);
  for (const std::uint32_t x : {0U, 16U}) TIFFWriteTile(tiff, std::vector(tile).data(), x, 0, 0, 0);
  return file.finish();
}

void bmps(const Corpus& corpus) {
  const auto bmp = [](std::string_view header, std::string_view rest) {
    File file;
    for (const std::string_view text : {header, rest}) {
      for (const char c : text) file.push_back(static_cast<std::byte>(c));
    }
    return file;
  };
  using std::string_view_literals::operator""sv;
  // BITMAPFILEHEADER and BITMAPINFOHEADER, little-endian: 2 x 2 pixels, 24 bits; 4 x 2, 8 bits, RLE8, 2 colours
  add(corpus, "bmp",
      bmp("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv,
          "\x10\x20\x30\x40\x50\x60\0\0\x70\x80\x90\xa0\xb0\xc0\0\0"sv));
  add(corpus, "bmp-rle8",
      bmp("BM\x48\0\0\0\0\0\0\0\x3e\0\0\0\x28\0\0\0\x04\0\0\0\x02\0\0\0\x01\0\x08\0\x01\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"sv,
          "\x10\x20\x30\0\xa0\xb0\xc0\0\x04\x01\0\0\x02\0\0\x02\0\x01"sv));
}

void pngs(const Corpus& corpus) {
  const std::vector<std::uint8_t> row(64, 0x5a);
  add(corpus, "png-grey-16", png_of(8, 4, row, {.color_type = 0, .bit_depth = 16}));
  add(corpus, "png-grey-2", png_of(16, 16, row, {.color_type = 0, .bit_depth = 2}));
  add(corpus, "png-palette",
      png_of(16, 8, row, {.color_type = 3, .bit_depth = 4, .palette = std::vector<std::uint32_t>(16, 0x102030c0)}));
  add(corpus, "png-rgba-interlaced",
      written({.format = Format::kPng, .progressive = true}, {image::with_alpha_of(image::gradient(13, 9), 100)}));
  add(corpus, "png-quantised",
      written({.format = Format::kPng, .palette = true, .colors = 7}, {image::gradient(16, 16)}));
}

void jpegs(const Corpus& corpus) {
  const cv::Mat picture = image::gradient(40, 24);
  add(corpus, "jpeg-progressive", image::jpeg_of(picture, {.progressive = true}));
  cv::Mat grey;
  cv::cvtColor(picture, grey, cv::COLOR_RGB2GRAY);
  add(corpus, "jpeg-grey", image::jpeg_of(grey, {.grey = true}));
  add(corpus, "jpeg-cmyk", image::jpeg_of(image::with_alpha_of(picture, 40), {.cmyk = true}));
  add(corpus, "jpeg-444", written({.format = Format::kJpeg, .chroma_full = true}, {picture}), 2);
}

}  // namespace

void image_seeds(const Corpus& corpus) {
  const cv::Mat picture = image::gradient(24, 16);
  const cv::Mat transparent = image::with_alpha_of(picture, 120);
  int request = 0;
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp, Format::kGif, Format::kTiff, Format::kAvif}) {
    const std::string name(name_of(format));
    add(corpus, name, written({.format = format}, {format == Format::kJpeg ? picture : transparent}), request++);
    if (format == Format::kJpeg || format == Format::kPng || format == Format::kWebp) {
      add(corpus, name + "-exif", with_exif(image::file_of(picture, format), format, image::exif_block(6)), 4);
    }
    if (format == Format::kGif || format == Format::kWebp) {
      add(corpus, name + "-animated", written({.format = format}, {transparent, 255 - transparent, transparent}));
    }
  }
  add(corpus, "webp-lossless", written({.format = Format::kWebp, .lossless = true}, {transparent}));
  using Compression = EncodeOptions::TiffCompression;
  add(corpus, "tiff-jpeg", written({.format = Format::kTiff, .tiff_compression = Compression::kJpeg}, {picture}));
  add(corpus, "tiff-deflate",
      written({.format = Format::kTiff, .tiff_compression = Compression::kDeflate}, {transparent, picture}));
  add(corpus, "tiff-tiled", tiled_tiff(8, 3));
  add(corpus, "tiff-tiled-16", tiled_tiff(16, 1));
  jpegs(corpus);
  pngs(corpus);
  bmps(corpus);
}

}  // namespace quern::fuzz
