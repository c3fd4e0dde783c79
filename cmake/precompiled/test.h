// What tests include.
#pragma once
#include <gmock/gmock.h>

#include "cmake/precompiled/network.h"
