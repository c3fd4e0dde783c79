#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>
#include <optional>

#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/families.h"
#include "worker/jobs/image/operations/tone.h"

namespace quern::image {
namespace {

constexpr double kFactorMax = 1e6;

OperationKind greyscale_kind() {
  return {.spec = {.name = "greyscale", .help = "Takes the colour away", .params = {}}, .make = [](const Arguments&) {
            return stateless([](const cv::Mat& picture, Context& context) { return greyscale(picture, context.job); });
          }};
}

OperationKind tint_kind() {
  return {.spec = {.name = "tint",
                   .help = "Shades of one colour",
                   .params = {required(color_param("color", "a colour of CSS", nullptr))}},
          .make = [](const Arguments& arguments) {
            const Color color = arguments.color("color");
            return stateless(
                [color](const cv::Mat& picture, Context& context) { return tint(picture, color, context.job); }, {},
                wishes_of(color));
          }};
}

OperationKind modulate_kind() {
  return {.spec = {.name = "modulate",
                   .help = "Changes brightness, saturation and hue",
                   .params = {number_param("brightness", "times as bright", 0, 1000, 1),
                              number_param("saturation", "times as colourful", 0, 1000, 1),
                              number_param("hue", "degrees", -1e6, 1e6, 0),
                              number_param("lightness", "is added, in L*", -100, 100, 0)}},
          .make = [](const Arguments& arguments) {
            const Modulation modulation{.brightness = arguments.number("brightness"),
                                        .saturation = arguments.number("saturation"),
                                        .hue = arguments.number("hue"),
                                        .lightness = arguments.number("lightness")};
            return stateless([modulation](const cv::Mat& picture, Context& context) {
              return modulate(picture, modulation, context.job);
            });
          }};
}

OperationKind gamma_kind() {
  return {.spec = {.name = "gamma",
                   .help = "Brightens the middle tones; below 1 darkens them",
                   .params = {number_param("gamma", "the exponent's inverse", 0.1, 10, 2.2)}},
          .make = [](const Arguments& arguments) {
            return stateless([exponent = arguments.number("gamma")](const cv::Mat& picture, Context&) {
              return gamma(picture, exponent);
            });
          }};
}

OperationKind negate_kind() {
  return {.spec = {.name = "negate", .help = "Inverts", .params = {flag_param("alpha", "invert that, too", true)}},
          .make = [](const Arguments& arguments) {
            const AlphaToo alpha = arguments.boolean("alpha") ? AlphaToo::kYes : AlphaToo::kNo;
            return stateless([alpha](const cv::Mat& picture, Context&) { return negate(picture, alpha); });
          }};
}

// The range is the first frame's.
class Normalise : public Operation {
 public:
  Normalise(double lower, double upper) : lower_(lower), upper_(upper) {}
  cv::Mat apply(cv::Mat picture, Context& context) override {
    if (!range_) range_ = lightness_range(picture, lower_, upper_, context.job);
    return normalise(picture, *range_, context.job);
  }

 private:
  double lower_;
  double upper_;
  std::optional<LightnessRange> range_{};
};

OperationKind normalise_kind() {
  return {.spec = {.name = "normalise",
                   .help = "Stretches lightness to all there is",
                   .params = {number_param("lower", "per cent that become black", 0, 99, 1),
                              number_param("upper", "per cent that do not become white", 1, 100, 99)}},
          .make = [](const Arguments& arguments) -> std::unique_ptr<Operation> {
            const double lower = arguments.number("lower");
            const double upper = arguments.number("upper");
            if (lower >= upper) arguments.refuse("lower", "must be less than upper");
            return std::make_unique<Normalise>(lower, upper);
          }};
}

OperationKind clahe_kind() {
  return {.spec = {.name = "clahe",
                   .help = "Brings out detail in dark and light parts",
                   .params = {required(whole_param("width", "of the parts, in pixels", 1, kOutputSideMax, nullptr)),
                              required(whole_param("height", "of the parts, in pixels", 1, kOutputSideMax, nullptr)),
                              whole_param("max_slope", "bound to contrast; 0: none", 0, 100, 3)}},
          .make = [](const Arguments& arguments) {
            const cv::Size tile(arguments.integer("width"), arguments.integer("height"));
            return stateless([tile, slope = arguments.integer("max_slope")](const cv::Mat& picture, Context& context) {
              return clahe(picture, tile, slope, context.job);
            });
          }};
}

std::vector<double> bounded_numbers(const Arguments& arguments, std::string_view name) {
  std::vector<double> numbers = arguments.numbers(name);
  if (std::ranges::any_of(numbers, [](double each) { return std::abs(each) > kFactorMax; })) {
    arguments.refuse(name, "must have numbers between -1000000 and 1000000");
  }
  return numbers;
}

OperationKind linear_kind() {
  return {
      .spec = {.name = "linear",
               .help = "channel * a + b",
               .params = {numbers_param("a", "1 for the colours, 3, or 4 with alpha", 1, 4, boost::json::array{1}),
                          numbers_param("b", "1 for the colours, 3, or 4 with alpha", 1, 4, boost::json::array{0})}},
      .make = [](const Arguments& arguments) {
        for (const char* name : {"a", "b"}) {
          if (arguments.numbers(name).size() == 2) arguments.refuse(name, "must have 1, 3 or 4 numbers");
        }
        return stateless([a = bounded_numbers(arguments, "a"), b = bounded_numbers(arguments, "b")](
                             const cv::Mat& picture, Context&) { return linear(picture, a, b); });
      }};
}

OperationKind recomb_kind() {
  return {
      .spec = {.name = "recomb",
               .help = "Mixes channels by a matrix",
               .params = {required(numbers_param("matrix", "3 x 3, or 4 x 4 with alpha, row by row", 9, 16, nullptr))}},
      .make = [](const Arguments& arguments) {
        std::vector<double> matrix = bounded_numbers(arguments, "matrix");
        if (matrix.size() != 9 && matrix.size() != 16) arguments.refuse("matrix", "must have 9 or 16 numbers");
        return stateless(
            [matrix = std::move(matrix)](const cv::Mat& picture, Context&) { return recomb(picture, matrix); });
      }};
}

OperationKind threshold_kind() {
  return {.spec = {.name = "threshold",
                   .help = "Black and white",
                   .params = {whole_param("value", "the least that becomes white", 0, 255, 128),
                              flag_param("greyscale", "of luminance; otherwise each channel", true)}},
          .make = [](const Arguments& arguments) {
            const ThresholdOf of = arguments.boolean("greyscale") ? ThresholdOf::kGrey : ThresholdOf::kChannels;
            return stateless([of, value = arguments.integer("value")](const cv::Mat& picture, Context& context) {
              return threshold(picture, value, of, context.job);
            });
          }};
}

}  // namespace

std::vector<OperationKind> tone_operations() {
  return {greyscale_kind(), tint_kind(),  modulate_kind(), gamma_kind(),  negate_kind(),
          normalise_kind(), clahe_kind(), linear_kind(),   recomb_kind(), threshold_kind()};
}

}  // namespace quern::image
