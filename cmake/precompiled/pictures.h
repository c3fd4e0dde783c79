// What files of the image module include.
#pragma once
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "cmake/precompiled/core.h"
