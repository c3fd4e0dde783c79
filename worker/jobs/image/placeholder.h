// What a page can show before a picture is there, in a few bytes: image.placeholder, and a format of results.
#pragma once

#include <cstdint>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <string>

#include "worker/jobs/image/codec.h"
#include "worker/sdk/job.h"

namespace quern::image {

// The picture's first cosines as text (https://blurha.sh). Transparent pixels lie on white.
[[nodiscard]] std::string blur_hash(const cv::Mat& picture, BlurHashSize size, const sdk::Job& job);

// Writes a JSON object about its picture: size, BlurHash, dominant colour, and a WebP of it in a data: URI.
[[nodiscard]] std::unique_ptr<Encoder> make_placeholder_encoder(const PlaceholderOptions& options, const sdk::Job& job);

}  // namespace quern::image
