#include "worker/jobs/image/operations/composite.h"

#include <opencv2/core.hpp>

#include "worker/jobs/image/alpha.h"

namespace quern::image {
namespace {

Pixel pixel_at(const std::uint8_t* at, int channels, float opacity) {
  constexpr float kUnit = 1.0F / 255;
  const float alpha = channels == 4 ? static_cast<float>(at[3]) * kUnit : 1.0F;
  return {.r = static_cast<float>(at[0]) * kUnit,
          .g = static_cast<float>(at[1]) * kUnit,
          .b = static_cast<float>(at[2]) * kUnit,
          .a = alpha * opacity};
}

std::uint8_t byte_of(float share) { return static_cast<std::uint8_t>(cvRound(share * 255)); }

void store(const Pixel& pixel, std::uint8_t* to, int channels) {
  to[0] = byte_of(pixel.r);
  to[1] = byte_of(pixel.g);
  to[2] = byte_of(pixel.b);
  if (channels == 4) to[3] = byte_of(pixel.a);
}

// The usual case, in whole numbers: over an opaque pixel.
void lay_over(const std::uint8_t* from, int alpha, std::uint8_t* to) {
  for (int c = 0; c < 3; ++c) to[c] = static_cast<std::uint8_t>((from[c] * alpha + to[c] * (255 - alpha) + 127) / 255);
}

// Which row or column of the overlay lies at `at` of the picture; -1: none.
int place_in(int at, int begin, int length, bool tile) {
  const int place = at - begin;
  if (!tile) return place >= 0 && place < length ? place : -1;
  const int rest = place % length;
  return rest < 0 ? rest + length : rest;
}

}  // namespace

cv::Mat composite(const cv::Mat& picture, const cv::Mat& overlay, const CompositeOptions& options,
                  const sdk::Job& job) {
  const bool untouched = keeps_uncovered(options.blend);
  cv::Mat out = keeps_opaque(options.blend) || picture.channels() == 4 ? picture.clone() : ensure_alpha(picture);
  const int channels = out.channels();
  const int overlay_channels = overlay.channels();
  const auto opacity = static_cast<float>(options.opacity);
  const bool plain_over = options.blend == Blend::kOver && channels == 3;
  for (int y = 0; y < out.rows; ++y) {
    job.throw_if_cancelled();
    const int row = place_in(y, options.at.y, overlay.rows, options.tile);
    if (row < 0 && untouched) continue;
    auto* to = out.ptr<std::uint8_t>(y);
    for (int x = 0; x < out.cols; ++x, to += channels) {
      const int column = row < 0 ? -1 : place_in(x, options.at.x, overlay.cols, options.tile);
      if (column < 0 && untouched) continue;
      const std::uint8_t* from = column < 0 ? nullptr : overlay.ptr<std::uint8_t>(row, column);
      if (plain_over) {
        const int alpha = overlay_channels == 4 ? from[3] : 255;
        lay_over(from, cvRound(alpha * options.opacity), to);
        continue;
      }
      const Pixel source = from == nullptr ? Pixel{} : pixel_at(from, overlay_channels, opacity);
      if (source.a <= 0 && untouched) continue;
      store(blended(source, pixel_at(to, channels, 1), options.blend), to, channels);
    }
  }
  return out;
}

}  // namespace quern::image
