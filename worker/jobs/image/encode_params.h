// How a result is to be written: parameters, and what they mean for its format.
#pragma once

#include <boost/json/object.hpp>
#include <opencv2/core/types.hpp>
#include <string>
#include <vector>

#include "worker/jobs/image/codec.h"

namespace quern::image {

// For every kind that encodes: format, quality, and what single formats know.
[[nodiscard]] std::vector<sdk::ParamSpec> encode_specs();

// `input` with the size that the result will have, as far as it is known. Throws JobError(kInvalidArgument) for an
// option that the format does not have. Metadata, frames and grey are the caller's.
[[nodiscard]] EncodeOptions encode_options(const boost::json::object& params, const Header& input);

// The first of encode_specs() that these parameters have; empty: none.
[[nodiscard]] std::string first_encode_param(const boost::json::object& params);

// "components_x", "components_y" and "side", of a kind's own or of encode_specs().
[[nodiscard]] PlaceholderOptions placeholder_options(const boost::json::object& params);

// Throws JobError(kInvalidArgument) for a picture that the format has no room for.
void check_format_holds(Format format, cv::Size size);

// Likewise for EXIF or XMP that it has no room for.
void check_format_holds(Format format, const MetadataView& metadata);

// What `format: auto` becomes, of the formats that every browser shows:
//
//     an animation                              webp
//     up to 4096 pixels, stored losslessly      png    icons: the overhead of other formats would show
//     anything that may be transparent          webp   a quarter of a PNG
//     photos and all the rest                   jpeg up to 65536 pixels, else webp
//
// What is too long for a webp becomes a gif, png or jpeg. Sizes are those of the result where it begins with a resize.
// A small photo takes about as much as a JPEG as it does as a WebP, and a fifth of the time.
//
// Of options in `params`, the result's format must have all: the first that has of the one above and then webp, gif for
// animations; webp, png where anything may be transparent; else webp, jpeg, png. A png is taken to have quality, of
// which it loses none, and effort only beside what means a palette. Throws JobError(kInvalidArgument) where none has
// them.
[[nodiscard]] Format choose_format(const Header& input, const boost::json::object& params = {});

}  // namespace quern::image
