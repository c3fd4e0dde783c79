// Owners of what C libraries allocate: which function frees it is part of the type.
//
//     using Image = Handle<avifImage, avifImageDestroy>;
#pragma once

#include <memory>

namespace quern::image {

template <auto kFree>
struct Free {
  template <class Type>
  void operator()(Type* object) const noexcept {
    kFree(object);
  }
};

template <class Type, auto kFree>
using Handle = std::unique_ptr<Type, Free<kFree>>;

}  // namespace quern::image
