#include <array>
#include <cmath>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/channel.h"
#include "worker/jobs/image/operations/families.h"
#include "worker/jobs/image/operations/second_picture.h"
#include "worker/jobs/image/words.h"

namespace quern::image {
namespace {

Shape with_alpha(Shape before) {
  before.alpha = true;
  return before;
}

OperationKind flatten_kind() {
  return {.spec = {.name = "flatten",
                   .help = "Lays the picture on a colour",
                   .params = {color_param("background", "a colour of CSS", "black")}},
          .make = [](const Arguments& arguments) {
            const Color background = arguments.color("background");
            return stateless([background](const cv::Mat& picture, Context&) { return flatten(picture, background); },
                             {}, wishes_of(background));
          }};
}

OperationKind plain_kind(const char* name, const char* help, cv::Mat (*function)(const cv::Mat&),
                         Shape (*after)(Shape) = nullptr) {
  return {.spec = {.name = name, .help = help, .params = {}}, .make = [=](const Arguments&) {
            return stateless([function](const cv::Mat& picture, Context&) { return function(picture); }, after);
          }};
}

OperationKind ensure_alpha_kind() {
  return {.spec = {.name = "ensure_alpha",
                   .help = "Adds alpha where there is none",
                   .params = {number_param("alpha", "0 is transparent", 0, 1, 1)}},
          .make = [](const Arguments& arguments) {
            const auto alpha = static_cast<std::uint8_t>(std::lround(arguments.number("alpha") * 255));
            return stateless([alpha](const cv::Mat& picture, Context&) { return ensure_alpha(picture, alpha); },
                             with_alpha, {.alpha = true});
          }};
}

OperationKind extract_channel_kind() {
  static constexpr auto kChannels = std::to_array<Word<int>>({{"red", 0}, {"green", 1}, {"blue", 2}, {"alpha", 3}});
  return {.spec = {.name = "extract_channel",
                   .help = "One channel, as grey",
                   .params = {required(choice_param("channel", "which", words_of(kChannels), nullptr))}},
          .make = [](const Arguments& arguments) {
            const int channel = meaning_of(kChannels, arguments.string("channel"));
            return stateless([channel](const cv::Mat& picture, Context&) { return extract_channel(picture, channel); });
          }};
}

constexpr auto kOperators = std::to_array<Word<BitOperator>>(
    {{"and", BitOperator::kAnd}, {"or", BitOperator::kOr}, {"eor", BitOperator::kXor}});

sdk::ParamSpec operator_param() {
  return required(choice_param("operator", "of each bit; eor: one of both", words_of(kOperators), nullptr));
}
BitOperator bit_operator(const Arguments& arguments) { return meaning_of(kOperators, arguments.string("operator")); }

OperationKind bandbool_kind() {
  return {.spec = {.name = "bandbool", .help = "Combines the colours' bits to a grey", .params = {operator_param()}},
          .make = [](const Arguments& arguments) {
            return stateless([with = bit_operator(arguments)](const cv::Mat& picture, Context&) {
              return combine_channels(picture, with);
            });
          }};
}

OperationKind boolean_kind() {
  return {.spec = {.name = "boolean",
                   .help = "Combines each bit with another picture's",
                   .params = {input_param(), operator_param()}},
          .make = [](const Arguments& arguments) {
            return stateless(
                [with = bit_operator(arguments), input = SecondPicture(arguments), path = arguments.path_of("input")](
                    const cv::Mat& picture, Context& context) {
                  const cv::Mat& other = input.of(context);
                  if (other.size() != picture.size()) {
                    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument,
                                        fmt::format("{}: that picture has {} x {} pixels, and this one {} x {}", path,
                                                    other.cols, other.rows, picture.cols, picture.rows),
                                        path);
                  }
                  return combine_pictures(picture, other, with);
                },
                {}, {.srgb = true});
          }};
}

}  // namespace

std::vector<OperationKind> channel_operations() {
  return {flatten_kind(),         plain_kind("unflatten", "Makes white transparent", unflatten, with_alpha),
          ensure_alpha_kind(),    plain_kind("remove_alpha", "Shows what alpha hid", remove_alpha),
          extract_channel_kind(), bandbool_kind(),
          boolean_kind()};
}

}  // namespace quern::image
