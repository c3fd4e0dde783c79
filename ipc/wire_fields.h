// Optional fields, which follow the fixed ones of most frames: u16 tag, u32 bytes, value. Only for wire.cpp and
// wire_jobs.cpp; docs/protocol.md has the format.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

#include "ipc/wire.h"

namespace quern::wire {

// Tags of optional fields. One number space over all frames; never reuse a number.
enum class Tag : std::uint16_t {
  kClientName = 1,
  kServerVersion = 2,
  kQueueTimeoutMs = 3,
  kRunTimeoutMs = 4,
  kDeadlineMs = 5,
  kAttempts = 6,
  kJobId = 7,
  kQueueNs = 8,
  kRunNs = 9,
  kRetryOn = 10,
  kOutputFile = 0x8000 | 11,  // who does not know these must not run the job
  kSharedBuffers = 0x8000 | 12,
};
inline constexpr std::uint16_t kCriticalTag = 0x8000;

inline Error malformed(std::string_view what) {
  return Error{.code = ErrorCode::kProtocolError, .message = fmt::format("malformed frame: {}", what)};
}

inline void put_tag(ByteWriter& out, Tag tag, std::uint32_t bytes) {
  out.number(static_cast<std::uint16_t>(tag));
  out.number(bytes);
}
template <class T>
void put_number(ByteWriter& out, Tag tag, T value) {
  put_tag(out, tag, sizeof(T));
  out.number(value);
}
inline void put_text(ByteWriter& out, Tag tag, std::string_view text) {
  put_tag(out, tag, static_cast<std::uint32_t>(text.size()));
  out.text(text);
}

// Calls visit(tag, value) for each field; visit returns whether it knew the tag and liked the value's size.
enum class Seen { kTaken, kUnknown, kBadValue };
template <class Visit>
Result<void> for_each_option(ByteSpan options, Visit visit) {
  ByteReader in(options);
  while (!in.rest().empty()) {
    const auto tag = in.number<std::uint16_t>();
    const auto bytes = in.number<std::uint32_t>();
    const ByteSpan value = in.bytes(bytes);
    if (!in.ok()) return malformed("an optional field is cut short");
    switch (visit(static_cast<Tag>(tag), value)) {
      case Seen::kTaken: break;
      case Seen::kUnknown:
        if ((tag & kCriticalTag) != 0) {
          return Error{.code = ErrorCode::kInvalidArgument,
                       .message = fmt::format("this server does not know the required option {:#06x}", tag)};
        }
        break;
      case Seen::kBadValue: return malformed(fmt::format("option {} has a value of the wrong size", tag));
    }
  }
  return {};
}

template <class T, class Into>
Seen take_number(ByteSpan value, Into& into) {
  if (value.size() != sizeof(T)) return Seen::kBadValue;
  into = ByteReader(value).number<T>();
  return Seen::kTaken;
}

}  // namespace quern::wire
