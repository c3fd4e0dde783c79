// ICC profiles for tests, made by lcms2.
#pragma once

#include "tests/unit/jobs/pictures.h"

namespace quern::image {

// Takes the profile (lcms2's cmsHPROFILE).
[[nodiscard]] File profile_bytes(void* profile);

[[nodiscard]] File display_p3();
[[nodiscard]] File grey_of_gamma(double gamma);
// Of a press whose cyan is orange.
[[nodiscard]] File orange_inks();

[[nodiscard]] File with_profile(const cv::Mat& picture, const File& icc, Format format = Format::kPng);
// In a JPEG that is there already, behind its first marker.
[[nodiscard]] File with_icc_segment(const File& jpeg, const File& icc);

}  // namespace quern::image
