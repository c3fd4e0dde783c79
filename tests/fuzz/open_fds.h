// OpenFds: how many descriptors this process has open, so that a fuzzer notices one that leaks. One thread.
#pragma once

#include <dirent.h>

#include <cstddef>
#include <memory>

#include "tests/fuzz/input.h"

namespace quern::fuzz {

class OpenFds {
 public:
  OpenFds() : listing_(::opendir("/proc/self/fd"), &::closedir) { check(listing_ != nullptr, "/proc is mounted"); }

  // The listing's own is counted too, each time.
  [[nodiscard]] std::size_t count() {
    ::rewinddir(listing_.get());
    std::size_t entries = 0;
    while (::readdir(listing_.get()) != nullptr) ++entries;
    return entries;
  }

 private:
  std::unique_ptr<DIR, int (*)(DIR*)> listing_;
};

}  // namespace quern::fuzz
