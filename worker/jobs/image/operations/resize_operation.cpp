#include "worker/jobs/image/operations/resize_operation.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "worker/jobs/image/operations/families.h"
#include "worker/jobs/image/operations/gravity.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image {
namespace {

template <class Value, std::size_t kCount>
using Words = std::array<std::pair<std::string_view, Value>, kCount>;

constexpr Words<Fit, 5> kFits{{{"cover", Fit::kCover},
                               {"contain", Fit::kContain},
                               {"fill", Fit::kFill},
                               {"inside", Fit::kInside},
                               {"outside", Fit::kOutside}}};
constexpr Words<Kernel, 6> kKernels{{{"nearest", Kernel::kNearest},
                                     {"linear", Kernel::kLinear},
                                     {"cubic", Kernel::kCubic},
                                     {"mitchell", Kernel::kMitchell},
                                     {"lanczos2", Kernel::kLanczos2},
                                     {"lanczos3", Kernel::kLanczos3}}};
constexpr Words<Strategy, 2> kStrategies{{{"entropy", Strategy::kEntropy}, {"attention", Strategy::kAttention}}};

template <class Table>
std::vector<std::string> words_of(const Table& table) {
  std::vector<std::string> words;
  for (const auto& each : table) words.emplace_back(each.first);
  return words;
}

template <class Table>
auto find_word(const Table& table, std::string_view word) {
  return std::ranges::find(table, word, [](const auto& each) { return each.first; });
}

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
  request.fit = find_word(kFits, arguments.string("fit"))->second;
  request.kernel = find_word(kKernels, arguments.string("kernel"))->second;
  request.scaling = {.enlarge = !arguments.boolean("without_enlargement"),
                     .reduce = !arguments.boolean("without_reduction")};
  request.background = arguments.color_if("background");
  const std::string_view position = arguments.string("position");
  if (const auto strategy = find_word(kStrategies, position); strategy != kStrategies.end()) {
    request.position = strategy->second;
  } else {
    request.position = gravity_of(position);
  }
  return std::make_unique<ResizeOperation>(request);
}

Picture ResizeOperation::apply(const Source& source, std::optional<YuvLayout> layout, const sdk::Job& job) {
  return resize(source, request_, layout, place_, job);
}

Shape ResizeOperation::after(const Shape& before) const {
  const Size canvas =
      plan_of(request_, {static_cast<std::uint32_t>(before.size.width), static_cast<std::uint32_t>(before.size.height)})
          .canvas;
  const bool transparent = request_.fit == Fit::kContain && request_.background.value_or(Color{}).a != 255;
  return {{static_cast<int>(canvas.width), static_cast<int>(canvas.height)}, before.alpha || transparent};
}

cv::Mat ResizeOperation::apply(cv::Mat picture, Context& context) {
  const Size whole{static_cast<std::uint32_t>(picture.cols), static_cast<std::uint32_t>(picture.rows)};
  return to_rgb(apply({.picture = picture, .whole = whole, .decoded = picture.size()}, {}, context.job));
}

}  // namespace quern::image
