#include "worker/jobs/image/color.h"

#include <lcms2.h>

#include <algorithm>
#include <array>
#include <boost/locale/encoding_utf.hpp>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <opencv2/core.hpp>
#include <optional>
#include <string_view>

#include "worker/jobs/image/codecs/handle.h"

namespace quern::image {
namespace {

using Profile = Handle<void, cmsCloseProfile>;
using TransformHandle = Handle<void, cmsDeleteTransform>;

Profile open_profile(Bytes icc) {
  return Profile(icc.empty() ? nullptr : cmsOpenProfileFromMem(icc.data(), static_cast<cmsUInt32Number>(icc.size())));
}

enum class Pixels { kRgb, kRgba, kInks };

struct Transform {
  std::vector<std::byte> icc;
  Pixels pixels{};
  bool grey = false;      // the profile is of one channel
  bool identity = false;  // it changes nothing
  TransformHandle handle{};
};

TransformHandle make_handle(const Profile& from, cmsUInt32Number in, cmsUInt32Number out) {
  const Profile srgb(cmsCreate_sRGBProfile());
  cmsUInt32Number flags = cmsFLAGS_BLACKPOINTCOMPENSATION;
  if (T_EXTRA(in) != 0) flags |= cmsFLAGS_COPY_ALPHA;
  return TransformHandle(cmsCreateTransform(from.get(), in, srgb.get(), out, INTENT_PERCEPTUAL, flags));
}

// Of a grey profile: what each of 256 levels becomes.
cv::Mat tone_curve(const Transform& transform) {
  cv::Mat levels(1, 256, CV_8UC1);
  for (int i = 0; i < 256; ++i) levels.at<std::uint8_t>(i) = static_cast<std::uint8_t>(i);
  cv::Mat greys(1, 256, CV_8UC3);
  cmsDoTransform(transform.handle.get(), levels.data, greys.data, 256);
  cv::Mat curve;
  cv::extractChannel(greys, curve, 1);
  return curve;
}

// On a grid over all colours.
bool changes_nothing(const Transform& transform) {
  if (transform.pixels == Pixels::kInks) return false;
  if (transform.grey) {
    const cv::Mat curve = tone_curve(transform);
    for (int i = 0; i < 256; ++i) {
      if (std::abs(curve.at<std::uint8_t>(i) - i) > 1) return false;
    }
    return true;
  }
  constexpr int kSteps = 6;
  const auto level = [](int i) { return static_cast<std::uint8_t>(255 * i / (kSteps - 1)); };
  std::vector<std::array<std::uint8_t, 4>> from;
  for (int i = 0; i < kSteps * kSteps * kSteps; ++i) {
    from.push_back({level(i % kSteps), level(i / kSteps % kSteps), level(i / kSteps / kSteps), 255});
  }
  std::vector<std::array<std::uint8_t, 4>> to = from;
  if (transform.pixels == Pixels::kRgba) {
    cmsDoTransform(transform.handle.get(), from.data(), to.data(), static_cast<cmsUInt32Number>(from.size()));
  } else {
    for (std::size_t i = 0; i < from.size(); ++i)
      cmsDoTransform(transform.handle.get(), from[i].data(), to[i].data(), 1);
  }
  for (std::size_t i = 0; i < from.size(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      if (std::abs(from[i][c] - to[i][c]) > 1) return false;
    }
  }
  return true;
}

Transform make_transform(Bytes icc, Pixels pixels) {
  Transform transform{.icc = {icc.begin(), icc.end()}, .pixels = pixels};
  const Profile profile = open_profile(icc);
  if (!profile) return transform;
  const cmsColorSpaceSignature space = cmsGetColorSpace(profile.get());
  if (pixels == Pixels::kInks) {
    if (space == cmsSigCmykData) transform.handle = make_handle(profile, TYPE_CMYK_8_REV, TYPE_RGB_8);
    return transform;
  }
  transform.grey = space == cmsSigGrayData;
  if (transform.grey) transform.handle = make_handle(profile, TYPE_GRAY_8, TYPE_RGB_8);
  if (space == cmsSigRgbData) {
    const cmsUInt32Number shape = pixels == Pixels::kRgba ? TYPE_RGBA_8 : TYPE_RGB_8;
    transform.handle = make_handle(profile, shape, shape);
  }
  transform.identity = transform.handle != nullptr && changes_nothing(transform);
  return transform;
}

// The last few, the newest first. A worker runs one job at a time, on one thread.
const Transform& transform_for(Bytes icc, Pixels pixels) {
  constexpr std::size_t kKept = 4;
  static std::deque<Transform> cache;
  const auto known = std::ranges::find_if(
      cache, [&](const Transform& each) { return each.pixels == pixels && std::ranges::equal(each.icc, icc); });
  if (known != cache.end()) return *known;
  cache.push_front(make_transform(icc, pixels));
  if (cache.size() > kKept) cache.pop_back();
  return cache.front();
}

// Row by row: rows of a part of a picture do not touch.
void run(const Transform& transform, const cv::Mat& from, cv::Mat& to) {
  for (int y = 0; y < from.rows; ++y) {
    cmsDoTransform(transform.handle.get(), from.ptr(y), to.ptr(y), static_cast<cmsUInt32Number>(from.cols));
  }
}

// Grey stays grey: only the tone curve of its profile matters.
cv::Mat grey_to_srgb(const Transform& transform, const cv::Mat& picture) {
  const cv::Mat curve = tone_curve(transform);
  std::vector<cv::Mat> channels;
  cv::split(picture, channels);
  for (std::size_t c = 0; c < 3; ++c) cv::LUT(channels[c], curve, channels[c]);
  cv::Mat out;
  cv::merge(channels, out);
  return out;
}

Pixels pixels_of(const cv::Mat& picture) { return picture.channels() == 4 ? Pixels::kRgba : Pixels::kRgb; }

}  // namespace

bool is_srgb(Bytes icc) {
  if (icc.empty()) return true;
  const Transform& transform = transform_for(icc, Pixels::kRgb);
  return !transform.handle || transform.identity;
}

bool describes_rgb(Bytes icc) {
  if (icc.empty()) return false;
  const Transform& transform = transform_for(icc, Pixels::kRgb);
  return transform.handle && !transform.grey;
}

Bytes profile_to_apply(Bytes icc, ColorSpace space) {
  if (space == ColorSpace::kCmyk || is_srgb(icc)) return {};
  if (space == ColorSpace::kRgb && !describes_rgb(icc)) return {};
  return icc;
}

cv::Mat to_srgb(const cv::Mat& picture, Bytes icc) {
  if (icc.empty()) return picture;
  const Transform& transform = transform_for(icc, pixels_of(picture));
  if (!transform.handle || transform.identity) return picture;
  if (transform.grey) return grey_to_srgb(transform, picture);
  cv::Mat out(picture.size(), picture.type());
  run(transform, picture, out);
  return out;
}

cv::Mat rgb_of_inks(const cv::Mat& inks, Bytes icc) {
  cv::Mat rgb(inks.size(), CV_8UC3);
  const Transform& transform = transform_for(icc, Pixels::kInks);
  if (transform.handle) {
    run(transform, inks, rgb);
    return rgb;
  }
  for (int y = 0; y < inks.rows; ++y) {
    const auto* from = inks.ptr<cv::Vec4b>(y);
    auto* to = rgb.ptr<cv::Vec3b>(y);
    for (int x = 0; x < inks.cols; ++x) {
      for (int c = 0; c < 3; ++c) to[x][c] = static_cast<std::uint8_t>((from[x][c] * from[x][3] + 127) / 255);
    }
  }
  return rgb;
}

std::string profile_description(Bytes icc) {
  const Profile profile = open_profile(icc);
  if (!profile) return {};
  std::array<wchar_t, 256> text{};
  cmsGetProfileInfo(profile.get(), cmsInfoDescription, "en", "US", text.data(), sizeof text);
  return boost::locale::conv::utf_to_utf<char>(text.data());
}

}  // namespace quern::image
