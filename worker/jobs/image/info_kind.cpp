// image.info: what a picture is, from its header. No pixel is decoded.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <string>

#include "worker/jobs/image/codec.h"
#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/color.h"
#include "worker/jobs/image/kinds.h"
#include "worker/jobs/image/plan.h"

namespace quern::image {
namespace {

namespace json = boost::json;

std::string_view word_of(ColorSpace space) {
  switch (space) {
    case ColorSpace::kRgb: return "rgb";
    case ColorSpace::kGrey: return "grey";
    case ColorSpace::kCmyk: break;
  }
  return "cmyk";
}

int channels_of(const Header& header) {
  const int colors = header.space == ColorSpace::kGrey ? 1 : header.space == ColorSpace::kCmyk ? 4 : 3;
  return colors + (header.alpha ? 1 : 0);
}

json::value exif_of(Bytes exif) {
  if (exif.empty()) return nullptr;
  const ExifBasics basics = exif_basics(exif);
  json::object object{{"bytes", exif.size()}};
  const auto put = [&](const char* name, const std::string& text) {
    if (!text.empty()) object[name] = text;
  };
  put("make", basics.make);
  put("model", basics.model);
  put("lens", basics.lens);
  put("software", basics.software);
  put("taken", basics.taken);
  if (basics.exposure_s) object["exposure_s"] = *basics.exposure_s;
  if (basics.f_number) object["f_number"] = *basics.f_number;
  if (basics.focal_length_mm) object["focal_length_mm"] = *basics.focal_length_mm;
  if (basics.iso) object["iso"] = *basics.iso;
  object["has_gps"] = basics.has_gps;
  return object;
}

json::value icc_of(Bytes icc) {
  if (icc.empty()) return nullptr;
  return json::object{{"bytes", icc.size()}, {"description", profile_description(icc)}};
}

json::object describe(const Header& header, const Metadata& metadata) {
  const bool lies = lies_on_side(header.orientation);
  json::object object{{"format", name_of(header.format)},
                      {"width", lies ? header.height : header.width},
                      {"height", lies ? header.width : header.height},
                      {"stored_width", header.width},
                      {"stored_height", header.height},
                      {"orientation", header.orientation},
                      {"space", word_of(header.space)},
                      {"channels", channels_of(header)},
                      {"depth", header.depth},
                      {"has_alpha", header.alpha},
                      {"lossless", header.lossless},
                      {"progressive", header.progressive},
                      {"frames", header.frames}};
  if (header.palette_bits != 0) object["palette_bits"] = header.palette_bits;
  if (!header.chroma_subsampling.empty()) object["chroma_subsampling"] = header.chroma_subsampling;
  if (header.density > 0) object["density"] = header.density;
  if (header.frames > 1) {
    object["loops"] = header.loops;
    object["delays_ms"] = json::array(header.delays_ms.begin(), header.delays_ms.end());
  }
  object["icc"] = icc_of(metadata.icc);
  object["exif"] = exif_of(metadata.exif);
  object["xmp_bytes"] = metadata.xmp.size();
  return object;
}

void run(sdk::Job& job) {
  // as far as a header goes, damage is not looked at
  const auto decoder = open_decoder(job.input(), FailOn::kNone, job);
  json::object object = describe(decoder->header(), decoder->metadata());
  object["bytes"] = job.input().size();
  job.output().write(json::serialize(object) + "\n");
}

}  // namespace

sdk::Kind info_kind() {
  sdk::Kind kind;
  kind.name = "image.info";
  kind.summary = "Tells what a picture is, without decoding it";
  kind.input = {.parts_min = 1, .parts_max = 1, .help = "a picture: JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP"};
  kind.output = "a JSON object: format, width, height, orientation, channels, frames, icc, exif, ...";
  kind.output_suffix = ".json";
  kind.run = run;
  return kind;
}

}  // namespace quern::image
