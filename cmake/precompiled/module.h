// What files of job modules include: as elsewhere, but with hidden symbols.
#pragma once
#include "cmake/precompiled/core.h"
