// Resizing as users ask for it: a size, a fit, a place; for a picture that may still lie on its side, or have been
// decoded smaller than it is stored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/picture.h"
#include "worker/jobs/image/plan.h"
#include "worker/jobs/image/resample.h"

namespace quern::image {

// Where a crop goes that looks at the picture.
enum class Strategy {
  kEntropy,    // where the most is going on
  kAttention,  // where people look first: edges, skin, saturated colours
};

struct ResizeRequest {
  Size asked{};  // 0: follows from the other side; both 0: the size stays
  Fit fit = Fit::kCover;
  Scaling scaling{};
  std::variant<Gravity, Strategy> position{};
  Kernel kernel = Kernel::kLanczos3;
  std::optional<Color>
      background{};  // around a contained picture; absent: black, and nothing around what is transparent
  // Where the sides were asked for, for errors.
  std::string width_field = "width";
  std::string height_field = "height";
};

// What a request means for a picture of this size, upright. Throws JobError(kInvalidArgument), naming a side, for
// results of more than kOutputSideMax a side.
[[nodiscard]] Plan plan_of(const ResizeRequest& request, Size upright);

// A frame on its way through a resize.
struct Source {
  Picture picture;
  Size whole;            // as stored
  cv::Size2d decoded;    // the whole in decoded pixels: smaller where the decoder shrinks
  cv::Point2d offset{};  // where `picture` lies in that
  int orientation = 1;   // that is still to be undone
  // What its colours mean, if they are to become sRGB's: once there are fewer of them, and before others are put
  // around.
  Bytes icc{};
};

// What of a stored picture a request needs, for decoders that can leave out the rest; the whole where that is not
// known before its pixels are.
[[nodiscard]] cv::Rect needed_region(const ResizeRequest& request, Size stored, int orientation);

// Carries it out; the result is upright. With `layout` a YuvPicture stays one, as far as the request allows it.
// `place` is where a Strategy cut the first frame: set then, and obeyed when it is set.
[[nodiscard]] Picture resize(const Source& source, const ResizeRequest& request, std::optional<YuvLayout> layout,
                             std::optional<Place>& place, const sdk::Job& job);

// Turns a picture stored with EXIF orientation `orientation` upright.
[[nodiscard]] Picture upright(const Picture& picture, int orientation);

}  // namespace quern::image
