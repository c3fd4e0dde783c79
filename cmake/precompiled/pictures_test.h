// What tests of the image module include.
#pragma once
#include <gmock/gmock.h>

#include "cmake/precompiled/pictures.h"
