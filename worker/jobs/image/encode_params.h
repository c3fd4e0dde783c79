#pragma once

#include <boost/json/object.hpp>
#include <vector>

#include "worker/jobs/image/codec.h"

namespace quern::image {
[[nodiscard]] std::vector<sdk::ParamSpec> encode_specs();
[[nodiscard]] EncodeOptions encode_options(const boost::json::object& params, const Header& input,
                                           bool picture_has_alpha);
}  // namespace quern::image
