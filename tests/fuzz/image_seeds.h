// A small file of every kind that the image module reads, for image_fuzzer.cpp.
#pragma once

#include "tests/fuzz/corpus.h"

namespace quern::fuzz {

void image_seeds(const Corpus& corpus);

}  // namespace quern::fuzz
