#include "tests/unit/jobs/profiles.h"

#include "worker/jobs/image/picture.h"

#include <lcms2.h>

#include <algorithm>
#include <stdexcept>

namespace quern::image {

File profile_bytes(void* profile) {
  cmsUInt32Number size = 0;
  cmsSaveProfileToMem(profile, nullptr, &size);
  File bytes(size);
  cmsSaveProfileToMem(profile, bytes.data(), &size);
  cmsCloseProfile(profile);
  return bytes;
}

File display_p3() {
  const cmsCIExyY white{0.3127, 0.3290, 1};
  const cmsCIExyYTRIPLE primaries{{0.680, 0.320, 1}, {0.265, 0.690, 1}, {0.150, 0.060, 1}};
  cmsToneCurve* curve = cmsBuildGamma(nullptr, 2.2);
  cmsToneCurve* curves[] = {curve, curve, curve};
  const cmsHPROFILE profile = cmsCreateRGBProfile(&white, &primaries, curves);
  cmsFreeToneCurve(curve);
  return profile_bytes(profile);
}

File grey_of_gamma(double gamma) {
  cmsToneCurve* curve = cmsBuildGamma(nullptr, gamma);
  const cmsHPROFILE profile = cmsCreateGrayProfile(cmsD50_xyY(), curve);
  cmsFreeToneCurve(curve);
  return profile_bytes(profile);
}

File orange_inks() {
  const cmsHPROFILE profile = cmsCreateProfilePlaceholder(nullptr);
  cmsSetProfileVersion(profile, 2.4);
  cmsSetDeviceClass(profile, cmsSigOutputClass);
  cmsSetColorSpace(profile, cmsSigCmykData);
  cmsSetPCS(profile, cmsSigLabData);
  cmsPipeline* pipeline = cmsPipelineAlloc(nullptr, 4, 3);
  cmsStage* table = cmsStageAllocCLut16bit(nullptr, 2, 4, 3, nullptr);
  const auto lab_of_inks = [](const cmsUInt16Number* inks, cmsUInt16Number* encoded, void*) -> cmsInt32Number {
    const auto ink = [&](int i) { return inks[i] / 65535.0; };
    const double lightness = std::max(0.0, 100 - 40 * ink(0) - 30 * ink(1) - 20 * ink(2) - 90 * ink(3));
    const cmsCIELab lab{lightness, 45 * ink(0), 50 * ink(0)};
    cmsFloat2LabEncodedV2(encoded, &lab);
    return TRUE;
  };
  if (cmsStageSampleCLut16bit(table, lab_of_inks, nullptr, 0) == 0 ||
      cmsPipelineInsertStage(pipeline, cmsAT_END, table) == 0 || cmsWriteTag(profile, cmsSigAToB0Tag, pipeline) == 0) {
    throw std::logic_error("lcms2 makes no profile of inks");
  }
  cmsPipelineFree(pipeline);
  return profile_bytes(profile);
}

File with_profile(const cv::Mat& picture, const File& icc, Format format) {
  static const sdk::Kind nothing{};
  sdk::FakeJob job(nothing);
  EncodeOptions options{.format = format, .quality = 100, .grey = is_grey(picture)};
  options.metadata.icc = icc;
  const auto encoder = make_encoder(options, job);
  encoder->add({.picture = picture});
  encoder->finish(job.output({}));
  return {job.bytes().begin(), job.bytes().end()};
}

File with_icc_segment(const File& jpeg, const File& icc) {
  constexpr std::string_view kHead("ICC_PROFILE\0\1\1", 14);  // the only one of one segment (ICC.1:2010, B.4)
  const std::size_t length = 2 + kHead.size() + icc.size();
  if (length > 0xffff) throw std::logic_error("the profile is too long for a segment");
  File segment{std::byte{0xff}, std::byte{0xe2}, static_cast<std::byte>(length >> 8), static_cast<std::byte>(length)};
  for (const char c : kHead) segment.push_back(static_cast<std::byte>(c));
  segment.insert(segment.end(), icc.begin(), icc.end());
  File file = jpeg;
  file.insert(file.begin() + 2, segment.begin(), segment.end());
  return file;
}

}  // namespace quern::image
