// One resize by Quern and by sharp, and how near each comes to an exact Lanczos of the same pixels.
#pragma once

#include <boost/json/object.hpp>
#include <opencv2/core/mat.hpp>
#include <span>
#include <string>
#include <vector>

#include "client/client.h"

namespace quern::bench {

using File = std::vector<char>;

// All functions throw std::runtime_error with the reason.

[[nodiscard]] File read_file(const std::string& path);
[[nodiscard]] inline std::span<const std::byte> bytes(const File& file) { return std::as_bytes(std::span(file)); }
[[nodiscard]] File as_png(const cv::Mat& picture);

// A file, covering `width` x `height` pixels, in a format.
struct Case {
  std::string input;  // path
  int width = 0;
  int height = 0;
  std::string format;
};

// Parameters of image.resize. Without `quality` the format's default.
[[nodiscard]] std::string params_of(const Case& each, int quality = 0);
[[nodiscard]] File resized(client::Client& client, const Case& each, int quality = 0);
// For peers/sharp.js.
[[nodiscard]] std::string sharp_command(const char* what, const Case& each, boost::json::object more = {});

// What an exact Lanczos makes of it, as a PNG.
[[nodiscard]] File exact(const Case& each);

struct Likeness {
  double ssim = 0;
  double psnr = 0;  // decibels; infinite where nothing differs
};
// As image.compare has it. Formats without alpha are compared over black, as all put them there.
[[nodiscard]] Likeness likeness(client::Client& client, const File& a, const File& b);

}  // namespace quern::bench
