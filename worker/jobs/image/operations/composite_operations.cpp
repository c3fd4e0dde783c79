#include <fmt/format.h>

#include <optional>

#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/composite.h"
#include "worker/jobs/image/operations/families.h"
#include "worker/jobs/image/operations/gravity.h"
#include "worker/jobs/image/operations/second_picture.h"

namespace quern::image {
namespace {

constexpr double kPlaceMax = 1e6;  // pixels

OperationKind composite_kind() {
  sdk::ObjectSpec spec{.name = "composite",
                       .help = "Lays another picture on this one",
                       .params = {input_param(), choice_param("blend", "how it lies there", blend_words(), "over"),
                                  gravity_param("gravity", "where it lies"),
                                  whole_param("left", "pixels from the left, instead", -kPlaceMax, kPlaceMax, nullptr),
                                  whole_param("top", "pixels from the top, instead", -kPlaceMax, kPlaceMax, nullptr),
                                  number_param("opacity", "times its alpha", 0, 1, 1),
                                  flag_param("tile", "repeat it over the whole picture", false)}};
  const auto make = [](const Arguments& arguments) {
    if (arguments.has("left") != arguments.has("top")) {
      arguments.refuse(arguments.has("left") ? "top" : "left", "is required: left and top go together");
    }
    std::optional<cv::Point> at;
    if (arguments.has("left")) at.emplace(arguments.integer("left"), arguments.integer("top"));
    const Gravity gravity = gravity_of(arguments.string("gravity"));
    const CompositeOptions options{.blend = blend_of(arguments.string("blend")),
                                   .opacity = arguments.number("opacity"),
                                   .tile = arguments.boolean("tile")};
    const Odd odd = options.tile ? Odd::kBehind : Odd::kBefore;  // as in sharp
    return stateless(
        [=, input = SecondPicture(arguments)](const cv::Mat& picture, Context& context) {
          const cv::Mat& overlay = input.of(context);
          CompositeOptions placed_options = options;
          placed_options.at = at.value_or(placed(overlay.size(), picture.size(), gravity, odd));
          return composite(picture, overlay, placed_options, context.job);
        },
        [](const Shape& before) {
          return Shape{before.size, true};
        },
        {.srgb = true});
  };
  return {.spec = spec, .make = make};
}

}  // namespace

std::vector<OperationKind> composite_operations() { return {composite_kind()}; }

}  // namespace quern::image
