#include "bench/image_likeness.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>

#include "tests/unit/jobs/lanczos.h"
#include "tests/unit/sdk/fake_job.h"
#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/yuv.h"

namespace quern::bench {

namespace json = boost::json;

namespace {

cv::Mat decoded(const File& file) {
  static const sdk::Kind kNoKind{};
  const sdk::FakeJob job(kNoKind);
  return image::to_rgb(image::open_decoder(bytes(file), image::FailOn::kWarning, job)->next({}).picture).clone();
}

}  // namespace

File read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("can't read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

File as_png(const cv::Mat& picture) {
  static const sdk::Kind kNoKind{};
  sdk::FakeJob job(kNoKind);
  const auto encoder = image::make_encoder({.format = image::Format::kPng, .compression_level = 1}, job);
  encoder->add({.picture = picture});
  encoder->finish(job.output({}));
  const auto* first = reinterpret_cast<const char*>(job.bytes().data());
  return {first, first + job.bytes().size()};
}

std::string params_of(const Case& each, int quality) {
  json::object params{{"width", each.width}, {"height", each.height}, {"format", each.format}};
  if (quality != 0) params["quality"] = quality;
  return json::serialize(params);
}

File resized(client::Client& client, const Case& each, int quality) {
  const File input = read_file(each.input);
  const auto result = client.run(
      {.kind = "image.resize", .params_json = params_of(each, quality), .parts = {client::Part::copy(bytes(input))}});
  if (!result) throw std::runtime_error(to_string(result.error()));
  const auto made = result->parts.at(0).bytes();
  const auto* first = reinterpret_cast<const char*>(made.data());
  return {first, first + made.size()};
}

std::string sharp_command(const char* what, const Case& each, json::object more) {
  more["do"] = what;
  more["file"] = std::filesystem::absolute(each.input).string();
  more["width"] = each.width;
  more["height"] = each.height;
  more["format"] = each.format;
  return json::serialize(more);
}

File exact(const Case& each) {
  return as_png(image::reference_cover(decoded(read_file(each.input)), {each.width, each.height}));
}

Likeness likeness(client::Client& client, const File& a, const File& b) {
  const auto result = client.run({.kind = "image.compare",
                                  .params_json = "",
                                  .parts = {client::Part::copy(bytes(a)), client::Part::copy(bytes(b))}});
  if (!result) throw std::runtime_error(to_string(result.error()));
  const auto text = result->parts.at(0).bytes();
  const json::object found =
      json::parse(std::string_view(reinterpret_cast<const char*>(text.data()), text.size())).as_object();
  const auto number = [&](const char* name) {
    return found.at(name).is_null() ? INFINITY : found.at(name).to_number<double>();
  };
  return {.ssim = number("ssim"), .psnr = number("psnr")};
}

}  // namespace quern::bench
