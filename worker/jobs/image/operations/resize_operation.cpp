#include "worker/jobs/image/operations/resize_operation.h"

#include <array>
#include <string_view>
#include <utility>

#include "worker/jobs/image/limits.h"
#include "worker/jobs/image/operations/families.h"
#include "worker/jobs/image/operations/gravity.h"
#include "worker/jobs/image/words.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image {
namespace {

constexpr auto kFits = std::to_array<Word<Fit>>({{"cover", Fit::kCover},
                                                 {"contain", Fit::kContain},
                                                 {"fill", Fit::kFill},
                                                 {"inside", Fit::kInside},
                                                 {"outside", Fit::kOutside}});
constexpr auto kKernels = std::to_array<Word<Kernel>>({{"nearest", Kernel::kNearest},
                                                       {"linear", Kernel::kLinear},
                                                       {"cubic", Kernel::kCubic},
                                                       {"mitchell", Kernel::kMitchell},
                                                       {"lanczos2", Kernel::kLanczos2},
                                                       {"lanczos3", Kernel::kLanczos3}});
constexpr auto kStrategies =
    std::to_array<Word<Strategy>>({{"entropy", Strategy::kEntropy}, {"attention", Strategy::kAttention}});

sdk::ParamSpec position_param() {
  sdk::ParamSpec spec = gravity_param("position", "what fit cover keeps, and where contain puts the picture");
  for (std::string& word : words_of(kStrategies)) spec.choices.push_back(std::move(word));
  return spec;
}

std::uint32_t side(const Arguments& arguments, std::string_view name) {
  return arguments.has(name) ? static_cast<std::uint32_t>(arguments.integer(name)) : 0;
}

}  // namespace

std::vector<sdk::ParamSpec> resize_params() {
  return {whole_param("width", "pixels; follows from the other side when absent", 1, kOutputSideMax, nullptr),
          whole_param("height", "pixels; follows from the other side when absent", 1, kOutputSideMax, nullptr),
          choice_param("fit", "how the picture meets width x height", words_of(kFits), "cover"),
          position_param(),
          color_param("background",
                      "around a contained picture, and under alpha in formats that have none; black when "
                      "absent, or transparent around what is",
                      nullptr),
          choice_param("kernel", "what a pixel is made of", words_of(kKernels), "lanczos3"),
          flag_param("without_enlargement", "never scale up", false),
          flag_param("without_reduction", "never scale down", false)};
}

sdk::ObjectSpec resize_spec() { return {.name = "resize", .help = "Scales to a size", .params = resize_params()}; }

std::unique_ptr<ResizeOperation> make_resize(const Arguments& arguments) {
  ResizeRequest request;
  request.asked = {.width = side(arguments, "width"), .height = side(arguments, "height")};
  if (request.asked.width == 0 && request.asked.height == 0) arguments.refuse("width", "is required, or height");
  request.width_field = arguments.path_of("width");
  request.height_field = arguments.path_of("height");
  request.fit = meaning_of(kFits, arguments.string("fit"));
  request.kernel = meaning_of(kKernels, arguments.string("kernel"));
  request.scaling = {.enlarge = !arguments.boolean("without_enlargement"),
                     .reduce = !arguments.boolean("without_reduction")};
  request.background = arguments.color_if("background");
  const std::string_view position = arguments.string("position");
  if (const Strategy* strategy = find_word(kStrategies, position)) {
    request.position = *strategy;
  } else {
    request.position = gravity_of(position);
  }
  return std::make_unique<ResizeOperation>(request);
}

Picture ResizeOperation::apply(const Source& source, std::optional<YuvLayout> layout, const sdk::Job& job) {
  return resize(source, request_, layout, place_, job);
}

Shape ResizeOperation::after(const Shape& before) const {
  const Size canvas = plan_of(request_, sides_of(before.size)).canvas;
  const bool transparent = request_.fit == Fit::kContain && request_.background.value_or(Color{}).a != 255;
  return {cv_size(canvas), before.alpha || transparent};
}

cv::Mat ResizeOperation::apply(cv::Mat picture, Context& context) {
  return to_rgb(
      apply({.picture = picture, .whole = sides_of(picture.size()), .decoded = picture.size()}, {}, context.job));
}

}  // namespace quern::image
