// Colour management, by lcms2: from what an embedded ICC profile means to sRGB.
//
// Intent: perceptual, with black point compensation, which is libvips' and sharp's too. A profile that is broken, or of
// another colour space than its picture, is as good as none. Making a transform costs about a millisecond; the last
// few are kept.
#pragma once

#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "worker/jobs/image/codec.h"

namespace quern::image {

// Whether these colours are sRGB's without any change, within one step of 255: also with an empty profile, or one that
// can't be used.
[[nodiscard]] bool is_srgb(Bytes icc);

// What is needed to make sRGB of the pixels that a decoder gave: its file's profile. Empty when they are sRGB already,
// as those of inks are, and when the profile is of another colour space than the picture.
[[nodiscard]] Bytes profile_to_apply(Bytes icc, ColorSpace space);

// Whether the profile can go with RGB pixels: broken ones and those of greys and inks can't.
[[nodiscard]] bool describes_rgb(Bytes icc);

// RGB or RGBA of an RGB profile; or of a grey one, for pictures that were grey before they were spread. Alpha stays.
[[nodiscard]] cv::Mat to_srgb(const cv::Mat& picture, Bytes icc);

// CMYK as JPEG decoders give it: CV_8UC4, 255 for no ink. Without a profile: of each colour, what its ink and the black
// leave of white paper.
[[nodiscard]] cv::Mat rgb_of_inks(const cv::Mat& inks, Bytes icc);

// What the profile calls itself, in UTF-8; empty if it can't be read.
[[nodiscard]] std::string profile_description(Bytes icc);

}  // namespace quern::image
