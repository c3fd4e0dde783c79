// What can be done to a picture between decoding and encoding. This folder's job, and its door.
//
//     operation.h          Operation, and the table of all of them: names, parameters, help, how each is made
//     arguments.h          one operation's checked parameters, as its maker reads them
//     geometry.h           extract, extend, trim, rotate, flip, flop
//     filter.h             blur, sharpen, median, convolve, dilate, erode
//     tone.h               greyscale, tint, modulate, gamma, negate, normalise, clahe, linear, recomb, threshold
//     channel.h, ../alpha.h
//                          flatten, unflatten, ensure_alpha, remove_alpha, extract_channel, bandbool, boolean
//     composite.h, blend.h composite
//     X_operations.cpp     a family's rows of the table, on top of its pure functions
//     resize_operation.h   resize
//
// Pictures are cv::Mat, CV_8UC3 (R,G,B) or CV_8UC4 (R,G,B,A, not premultiplied), sRGB, never empty. Where a filter
// mixes pixels, alpha is premultiplied, so that the colour of invisible pixels never shows. A picture may share its
// pixels with another: functions make new ones and leave their arguments alone.
//
// Operations are applied in the order in which they were given.
#pragma once

#include <boost/json/array.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "worker/jobs/image/limits.h"
#include "worker/jobs/image/picture.h"
#include "worker/sdk/job.h"

namespace quern::image {

class Arguments;

// What no picture may exceed, whatever an operation asks for.
struct Limits {
  std::int64_t side_max = kOutputSideMax;
  std::int64_t pixels_max = kPicturePixelsMax;
};

struct Context {
  const sdk::Job& job;  // polled
  Limits limits{};
  std::size_t inputs = 1;  // the job's input parts
  // Part 1, the second, or a later one as a picture: decoded when it is first asked for.
  std::function<const cv::Mat&(std::size_t)> input{};
};

// What is known of a picture before there is one.
struct Shape {
  cv::Size size;
  bool alpha = false;
};

// What an operation asks of the result that it is for.
struct Wishes {
  bool srgb = false;   // it brings in colours or pictures that are sRGB
  bool alpha = false;  // alpha is written even if it is opaque
};

// One operation of one output. It is applied to each frame of an animation; what it decides by looking at pixels (where
// to trim) it decides at the first one, and keeps.
//
// Throws sdk::JobError that names the parameter at fault by its path.
class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation() = default;

  [[nodiscard]] virtual cv::Mat apply(cv::Mat picture, Context& context) = 0;

  // The most that a picture of this shape can become: memory is reserved by it, before there are pixels.
  [[nodiscard]] virtual Shape after(const Shape& before) const { return before; }
  // Whether it always becomes just that. Else its pixels decide, and it may become less.
  [[nodiscard]] virtual bool is_exact() const { return true; }
  // Throws what apply() throws for a picture of this shape, before there are pixels.
  virtual void check(const Shape& /*before*/, const Limits& /*limits*/) const {}
  [[nodiscard]] virtual Wishes wishes() const { return {}; }
};

using Operations = std::vector<std::unique_ptr<Operation>>;

// A row of the table.
struct OperationKind {
  sdk::ObjectSpec spec;
  std::function<std::unique_ptr<Operation>(const Arguments&)> make;
};

// All there are, in the order in which help lists them.
[[nodiscard]] const std::vector<OperationKind>& operation_kinds();
[[nodiscard]] std::vector<sdk::ObjectSpec> operation_specs();
// A kind's parameter "operations".
[[nodiscard]] sdk::ParamSpec operations_param();

// From checked parameters. `path` is where the list stands: "operations", "outputs[1].operations".
[[nodiscard]] Operations make_operations(const boost::json::array& list, std::string_view path);

[[nodiscard]] cv::Mat apply_all(std::span<const std::unique_ptr<Operation>> operations, cv::Mat picture,
                                Context& context);

// An operation that keeps nothing from frame to frame. Without `after`, shapes stay as they are. `apply` is called
// after `check`.
[[nodiscard]] std::unique_ptr<Operation> stateless(std::function<cv::Mat(const cv::Mat&, Context&)> apply,
                                                   std::function<Shape(Shape)> after = {}, Wishes wishes = {},
                                                   std::function<void(const Shape&, const Limits&)> check = {});

// What an operation that uses this sRGB colour wishes. Black and white are the same with every profile.
[[nodiscard]] Wishes wishes_of(Color color);

// Throws kTooLarge for a picture that an operation would make larger, and larger than the limits: what came in so may
// stay so. Asked before it is allocated.
void check_size(cv::Size before, std::int64_t width, std::int64_t height, const Limits& limits, std::string_view field);

}  // namespace quern::image
