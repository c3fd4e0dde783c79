#include "worker/jobs/image/operations/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "worker/jobs/image/operations/arguments.h"
#include "worker/jobs/image/operations/families.h"
#include "worker/jobs/image/operations/resize_operation.h"
#include "worker/sdk/object.h"

namespace quern::image {
namespace {

constexpr double kOperationsMax = 64;
constexpr std::string_view kTag = "op";

class Stateless : public Operation {
 public:
  Stateless(std::function<cv::Mat(const cv::Mat&, Context&)> apply, std::function<Shape(Shape)> after, Wishes wishes,
            std::function<void(const Shape&, const Limits&)> check)
      : apply_(std::move(apply)), after_(std::move(after)), check_(std::move(check)), wishes_(wishes) {}
  cv::Mat apply(cv::Mat picture, Context& context) override {
    check({picture.size(), picture.channels() == 4}, context.limits);
    return apply_(picture, context);
  }
  void check(const Shape& before, const Limits& limits) const override {
    if (check_) check_(before, limits);
  }
  [[nodiscard]] Shape after(const Shape& before) const override { return after_ ? after_(before) : before; }
  [[nodiscard]] Wishes wishes() const override { return wishes_; }

 private:
  std::function<cv::Mat(const cv::Mat&, Context&)> apply_;
  std::function<Shape(Shape)> after_;
  std::function<void(const Shape&, const Limits&)> check_;
  Wishes wishes_;
};

std::vector<OperationKind> make_table() {
  std::vector<OperationKind> table;
  table.push_back({.spec = resize_spec(), .make = [](const Arguments& arguments) { return make_resize(arguments); }});
  for (auto family :
       {geometry_operations, filter_operations, tone_operations, channel_operations, composite_operations}) {
    std::ranges::move(family(), std::back_inserter(table));
  }
  return table;
}

}  // namespace

const std::vector<OperationKind>& operation_kinds() {
  static const std::vector<OperationKind> table = make_table();
  return table;
}

std::vector<sdk::ObjectSpec> operation_specs() {
  std::vector<sdk::ObjectSpec> specs;
  for (const OperationKind& kind : operation_kinds()) specs.push_back(kind.spec);
  return specs;
}

sdk::ParamSpec operations_param() {
  return {.name = "operations",
          .type = sdk::ParamType::kList,
          .help = "what is done to the picture, in this order",
          .max = kOperationsMax,
          .items = operation_specs(),
          .tag = std::string(kTag)};
}

Operations make_operations(const boost::json::array& list, std::string_view path) {
  Operations operations;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto& params = list[i].as_object();
    const std::string_view op = sdk::string(params, kTag);
    const auto kind = std::ranges::find_if(operation_kinds(), [&](const auto& each) { return each.spec.name == op; });
    operations.push_back(kind->make(Arguments(params, fmt::format("{}[{}]", path, i))));
  }
  return operations;
}

cv::Mat apply_all(std::span<const std::unique_ptr<Operation>> operations, cv::Mat picture, Context& context) {
  for (const auto& operation : operations) {
    context.job.throw_if_cancelled();
    picture = operation->apply(std::move(picture), context);
  }
  return picture;
}

std::unique_ptr<Operation> stateless(std::function<cv::Mat(const cv::Mat&, Context&)> apply,
                                     std::function<Shape(Shape)> after, Wishes wishes,
                                     std::function<void(const Shape&, const Limits&)> check) {
  return std::make_unique<Stateless>(std::move(apply), std::move(after), wishes, std::move(check));
}

Wishes wishes_of(Color color) {
  const bool neutral = color.r == color.g && color.g == color.b && (color.r == 0 || color.r == 255);
  return {.srgb = !neutral && color.a != 0};
}

void check_size(cv::Size before, std::int64_t width, std::int64_t height, const Limits& limits,
                std::string_view field) {
  const auto [shorter, longer] = std::minmax(width, height);
  if (shorter <= std::min(before.width, before.height) && longer <= std::max(before.width, before.height)) return;
  if (width <= limits.side_max && height <= limits.side_max && width * height <= limits.pixels_max) return;
  throw sdk::JobError(
      sdk::JobErrorCode::kTooLarge,
      fmt::format("{}: the picture would have {} x {} pixels; at most {} a side and {} in all are allowed: resize it "
                  "to less before",
                  field, width, height, limits.side_max, limits.pixels_max),
      std::string(field));
}

}  // namespace quern::image
