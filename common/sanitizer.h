// Which sanitizer this build has: there, what a test measures or waits for is another thing. GCC says it by a macro,
// clang by a feature.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define QUERN_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define QUERN_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define QUERN_ADDRESS_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__)
#define QUERN_THREAD_SANITIZER 1
#elif defined(__has_feature)
#define QUERN_THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define QUERN_THREAD_SANITIZER 0
#endif

namespace quern {

inline constexpr bool kThreadSanitizer = QUERN_THREAD_SANITIZER;
inline constexpr bool kSanitized = QUERN_ADDRESS_SANITIZER || QUERN_THREAD_SANITIZER;

}  // namespace quern
