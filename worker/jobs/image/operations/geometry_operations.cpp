#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/families.h"
#include "worker/jobs/image/operations/geometry.h"
#include "worker/jobs/image/words.h"

namespace quern::image {
namespace {

constexpr double kInputSideMax = 1e9;  // the sum of two is an int

[[noreturn]] void refuse_at(const std::string& path, const std::string& message) {
  throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, fmt::format("{}: {}", path, message), path);
}

OperationKind extract_kind() {
  sdk::ObjectSpec spec{.name = "extract",
                       .help = "Cuts out a part",
                       .params = {required(whole_param("left", "pixels", 0, kInputSideMax, nullptr)),
                                  required(whole_param("top", "pixels", 0, kInputSideMax, nullptr)),
                                  required(whole_param("width", "pixels", 1, kInputSideMax, nullptr)),
                                  required(whole_param("height", "pixels", 1, kInputSideMax, nullptr))}};
  const auto make = [](const Arguments& arguments) {
    const cv::Rect area(arguments.integer("left"), arguments.integer("top"), arguments.integer("width"),
                        arguments.integer("height"));
    return stateless(
        [area](const cv::Mat& picture, Context& /*context*/) { return extract(picture, area); },
        [area](const Shape& before) {
          return Shape{{std::min(area.width, before.size.width), std::min(area.height, before.size.height)},
                       before.alpha};
        },
        {},
        [area, path = arguments.path()](const Shape& before, const Limits& /*limits*/) {
          if (area.x + area.width <= before.size.width && area.y + area.height <= before.size.height) return;
          refuse_at(path, fmt::format("the part of {} x {} at {}, {} does not lie inside of the picture of {} x {}",
                                      area.width, area.height, area.x, area.y, before.size.width, before.size.height));
        });
  };
  return {.spec = spec, .make = make};
}

constexpr auto kExtendWith = std::to_array<Word<ExtendWith>>({{"background", ExtendWith::kBackground},
                                                              {"copy", ExtendWith::kCopy},
                                                              {"repeat", ExtendWith::kRepeat},
                                                              {"mirror", ExtendWith::kMirror}});

OperationKind extend_kind() {
  sdk::ObjectSpec spec{
      .name = "extend",
      .help = "Adds pixels at the edges",
      .params = {
          whole_param("top", "pixels", 0, kOutputSideMax, 0), whole_param("bottom", "pixels", 0, kOutputSideMax, 0),
          whole_param("left", "pixels", 0, kOutputSideMax, 0), whole_param("right", "pixels", 0, kOutputSideMax, 0),
          choice_param("extend_with", "what the new pixels show", words_of(kExtendWith), "background"),
          color_param("background", "a colour of CSS", "black")}};
  const auto make = [](const Arguments& arguments) {
    const Margins margins{.top = arguments.integer("top"),
                          .bottom = arguments.integer("bottom"),
                          .left = arguments.integer("left"),
                          .right = arguments.integer("right")};
    const ExtendWith with = meaning_of(kExtendWith, arguments.string("extend_with"));
    const Color background = arguments.color("background");
    return stateless(
        [=](const cv::Mat& picture, Context& /*context*/) { return extend(picture, margins, with, background); },
        [=](const Shape& before) {
          return Shape{
              {before.size.width + margins.left + margins.right, before.size.height + margins.top + margins.bottom},
              before.alpha || background.a != 255};
        },
        with == ExtendWith::kBackground ? wishes_of(background) : Wishes{},
        [=, path = arguments.path()](const Shape& before, const Limits& limits) {
          check_size(before.size, std::int64_t{before.size.width} + margins.left + margins.right,
                     std::int64_t{before.size.height} + margins.top + margins.bottom, limits, path);
        });
  };
  return {.spec = spec, .make = make};
}

// Where it cuts is decided at the first frame.
class Trim : public Operation {
 public:
  explicit Trim(const TrimOptions& options) : options_(options) {}
  cv::Mat apply(cv::Mat picture, Context& /*context*/) override {
    if (!box_) box_ = trim_box(picture, options_);
    return extract(picture, *box_ & cv::Rect(0, 0, picture.cols, picture.rows));
  }
  [[nodiscard]] bool is_exact() const override { return false; }
  [[nodiscard]] Wishes wishes() const override { return wishes_of(options_.background.value_or(Color{})); }

 private:
  TrimOptions options_;
  std::optional<cv::Rect> box_{};
};

OperationKind trim_kind() {
  sdk::ObjectSpec spec{.name = "trim",
                       .help = "Cuts away edges that have one colour",
                       .params = {color_param("background", "that colour; the top left pixel's when absent", nullptr),
                                  number_param("threshold", "how far a channel may differ", 0, 255, 10),
                                  flag_param("line_art", "thin lines and single pixels count", false),
                                  whole_param("margin", "pixels to leave around", 0, kOutputSideMax, 0)}};
  const auto make = [](const Arguments& arguments) -> std::unique_ptr<Operation> {
    return std::make_unique<Trim>(TrimOptions{.background = arguments.color_if("background"),
                                              .threshold = arguments.number("threshold"),
                                              .line_art = arguments.boolean("line_art"),
                                              .margin = arguments.integer("margin")});
  };
  return {.spec = spec, .make = make};
}

OperationKind rotate_kind() {
  sdk::ObjectSpec spec{.name = "rotate",
                       .help = "Turns clockwise; the picture grows to fit",
                       .params = {required(number_param("angle", "degrees", -1e6, 1e6, nullptr)),
                                  color_param("background", "in the new corners", "black")}};
  const auto make = [](const Arguments& arguments) {
    const double angle = arguments.number("angle");
    const Color background = arguments.color("background");
    return stateless(
        [=](const cv::Mat& picture, Context& context) { return rotate(picture, angle, background, context.job); },
        [=](const Shape& before) {
          return Shape{rotated_size(before.size, angle), before.alpha || background.a != 255};
        },
        wishes_of(background),
        [=, path = arguments.path()](const Shape& before, const Limits& limits) {
          const cv::Size size = rotated_size(before.size, angle);
          check_size(before.size, size.width, size.height, limits, path);
        });
  };
  return {.spec = spec, .make = make};
}

OperationKind plain_kind(const char* name, const char* help, cv::Mat (*function)(const cv::Mat&)) {
  return {.spec = {.name = name, .help = help, .params = {}}, .make = [function](const Arguments& /*arguments*/) {
            return stateless([function](const cv::Mat& picture, Context& /*context*/) { return function(picture); });
          }};
}

}  // namespace

std::vector<OperationKind> geometry_operations() {
  return {extract_kind(),
          extend_kind(),
          trim_kind(),
          rotate_kind(),
          plain_kind("flip", "Turns upside down", flip),
          plain_kind("flop", "Turns left to right", flop)};
}

}  // namespace quern::image
