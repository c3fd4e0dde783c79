#include "worker/jobs/image/codecs/quantise.h"

#include <libimagequant.h>

#include <algorithm>
#include <memory>
#include <new>
#include <opencv2/core.hpp>
#include <string>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/codecs/handle.h"

// libgomp's, whose header comes with a compiler's OpenMP, which nothing else here needs.
extern "C" void omp_set_num_threads(int threads);

namespace quern::image {
namespace {

using Attributes = Handle<liq_attr, liq_attr_destroy>;
using Image = Handle<liq_image, liq_image_destroy>;
using Result = Handle<liq_result, liq_result_destroy>;

void check(liq_error error, const sdk::Job& job) {
  if (error == LIQ_OK) return;
  job.throw_if_cancelled();
  if (error == LIQ_OUT_OF_MEMORY) throw std::bad_alloc();
  throw sdk::JobError(sdk::JobErrorCode::kInternal,
                      "choosing colours failed with libimagequant's error " + std::to_string(error));
}

int go_on(float /*percent*/, void* job) { return static_cast<const sdk::Job*>(job)->cancel_requested() ? 0 : 1; }

}  // namespace

Quantised quantise(const cv::Mat& picture, const QuantiseOptions& options, const sdk::Job& job) {
  omp_set_num_threads(1);  // libimagequant would start some; a worker is one thread
  cv::Mat rgba = ensure_alpha(picture);
  const Attributes attributes(liq_attr_create());
  if (!attributes) throw std::bad_alloc();
  // liq's callbacks take void*, and only read
  auto* user = const_cast<sdk::Job*>(&job);
  liq_attr_set_progress_callback(attributes.get(), go_on, user);
  check(liq_set_max_colors(attributes.get(), options.colors), job);
  check(liq_set_quality(attributes.get(), 0, options.quality), job);
  check(liq_set_speed(attributes.get(), std::clamp(11 - options.effort, 1, 10)), job);

  std::vector<void*> rows;
  for (int y = 0; y < rgba.rows; ++y) rows.push_back(rgba.ptr(y));
  const Image image(liq_image_create_rgba_rows(attributes.get(), rows.data(), rgba.cols, rgba.rows, 0));
  if (!image) throw std::bad_alloc();
  liq_result* made = nullptr;
  check(liq_image_quantize(image.get(), attributes.get(), &made), job);
  const Result result(made);
  liq_result_set_progress_callback(result.get(), go_on, user);
  check(liq_set_dithering_level(result.get(), static_cast<float>(options.dither)), job);

  Quantised out{.palette = {}, .indices = cv::Mat(rgba.size(), CV_8UC1)};
  check(liq_write_remapped_image(result.get(), image.get(), out.indices.data, out.indices.total()), job);
  const liq_palette* palette = liq_get_palette(result.get());
  for (unsigned i = 0; i < palette->count; ++i) {
    const liq_color& color = palette->entries[i];
    out.palette.push_back({.r = color.r, .g = color.g, .b = color.b, .a = color.a});
  }
  return out;
}

}  // namespace quern::image
