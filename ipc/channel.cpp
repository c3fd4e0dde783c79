#include "ipc/channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace quern::ipc {
namespace {

constexpr std::uint64_t page_aligned(std::uint64_t bytes) noexcept {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace

bool Geometry::valid() const noexcept {
  const auto extent_ok = [](std::uint32_t bytes) {
    return bytes >= kPageBytes && bytes <= kExtentBytesMax && bytes % kPageBytes == 0;
  };
  return std::has_single_bit(slots) && slots <= kSlotsMax && extent_ok(input_extent_bytes) &&
         extent_ok(output_extent_bytes);
}

std::uint64_t Geometry::completions_offset() const noexcept {
  return page_aligned(descriptors_offset() + std::uint64_t{slots} * sizeof(Descriptor));
}
std::uint64_t Geometry::result_parts_offset() const noexcept {
  return page_aligned(completions_offset() + std::uint64_t{slots} * sizeof(Completion));
}
std::uint64_t Geometry::inputs_offset() const noexcept {
  return page_aligned(result_parts_offset() + std::uint64_t{slots} * kResultPartsMax * sizeof(ResultPart));
}
std::uint64_t Geometry::outputs_offset() const noexcept {
  return inputs_offset() + std::uint64_t{slots} * input_extent_bytes;
}
std::uint64_t Geometry::stream_offset() const noexcept {
  return outputs_offset() + std::uint64_t{slots} * output_extent_bytes;
}
std::uint64_t Geometry::total_bytes() const noexcept { return stream_offset() + kStreamBytes; }

Result<Channel::Created> Channel::create(const Geometry& geometry, std::uint64_t incarnation) {
  if (!geometry.valid()) return Error{.code = ErrorCode::kInternal, .message = "a channel of an impossible geometry"};
  auto fd = create_allocated_memfd("channel", geometry.total_bytes());
  if (!fd) return fd.error();
  auto mapping = Mapping::map(fd->get(), geometry.total_bytes(), Access::kReadWrite);
  if (!mapping) return mapping.error();
  auto* header = ::new (mapping->data()) ChannelHeader{};  // a new memfd is zero; this begins the atomics' lives
  header->magic = kChannelMagic;
  header->layout_version = kChannelLayoutVersion;
  header->slots = geometry.slots;
  header->input_extent_bytes = geometry.input_extent_bytes;
  header->output_extent_bytes = geometry.output_extent_bytes;
  header->incarnation = incarnation;
  return Created{Channel(std::move(*mapping), geometry), std::move(*fd)};
}

Result<Channel> Channel::open(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error("fstat", "channel", errno);
  if (info.st_size < static_cast<off_t>(kPageBytes)) {
    return Error{.code = ErrorCode::kInternal, .message = "the channel is smaller than its header"};
  }
  auto mapping = Mapping::map(fd, static_cast<std::uint64_t>(info.st_size), Access::kReadWrite);
  if (!mapping) return mapping.error();
  const auto& header = *reinterpret_cast<const ChannelHeader*>(mapping->data());
  const Geometry geometry{.slots = header.slots,
                          .input_extent_bytes = header.input_extent_bytes,
                          .output_extent_bytes = header.output_extent_bytes};
  if (header.magic != kChannelMagic || header.layout_version != kChannelLayoutVersion || !geometry.valid() ||
      geometry.total_bytes() != mapping->size()) {
    return Error{.code = ErrorCode::kInternal,
                 .message = fmt::format("the channel's header is not of layout version {}: supervisor and worker are "
                                        "of different builds",
                                        kChannelLayoutVersion)};
  }
  return Channel(std::move(*mapping), geometry);
}

Descriptor& Channel::descriptor(std::uint64_t position) const noexcept {
  return reinterpret_cast<Descriptor*>(mapping_.data() + geometry_.descriptors_offset())[slot(position)];
}
Completion& Channel::completion(std::uint64_t position) const noexcept {
  return reinterpret_cast<Completion*>(mapping_.data() + geometry_.completions_offset())[slot(position)];
}
std::span<ResultPart, kResultPartsMax> Channel::result_parts(std::uint64_t position) const noexcept {
  auto* first = reinterpret_cast<ResultPart*>(mapping_.data() + geometry_.result_parts_offset());
  return std::span<ResultPart, kResultPartsMax>(first + std::size_t{slot(position)} * kResultPartsMax, kResultPartsMax);
}
std::span<std::byte> Channel::input(std::uint64_t position) const noexcept {
  return {mapping_.data() + geometry_.inputs_offset() + std::uint64_t{slot(position)} * geometry_.input_extent_bytes,
          geometry_.input_extent_bytes};
}
std::span<std::byte> Channel::output(std::uint64_t position) const noexcept {
  return {mapping_.data() + geometry_.outputs_offset() + std::uint64_t{slot(position)} * geometry_.output_extent_bytes,
          geometry_.output_extent_bytes};
}
std::span<std::byte> Channel::stream() const noexcept {
  return {mapping_.data() + geometry_.stream_offset(), kStreamBytes};
}

namespace {

using MessageWords = std::array<std::uint64_t, kProgressMessageBytesMax / sizeof(std::uint64_t)>;

// How many words hold so many bytes, whatever number a worker says.
std::size_t message_words(std::uint64_t bytes) noexcept {
  return static_cast<std::size_t>(std::min<std::uint64_t>((bytes + 7) / 8, std::tuple_size_v<MessageWords>));
}

}  // namespace

// A seqlock (Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012),
// with the data in relaxed atomics. The worker is the only writer.
void store_progress(ChannelHeader& header, std::uint64_t position, const ProgressView& progress) noexcept {
  const auto version = header.progress_version.load(std::memory_order_relaxed);
  header.progress_version.store(version + 1, std::memory_order_relaxed);
  // release on each datum: whoever sees the new value also sees the odd version before it
  header.progress_position.store(position, std::memory_order_release);
  header.progress_done.store(progress.done, std::memory_order_release);
  header.progress_total.store(progress.total, std::memory_order_release);
  header.progress_message_bytes.store(progress.message_bytes, std::memory_order_release);
  const auto words = std::bit_cast<MessageWords>(progress.message);
  for (std::size_t i = 0; i < message_words(progress.message_bytes); ++i) {
    header.progress_message[i].store(words[i], std::memory_order_release);
  }
  header.progress_version.store(version + 2, std::memory_order_release);
}

bool load_progress(const ChannelHeader& header, std::uint64_t position, ProgressView& progress) noexcept {
  constexpr int kTries = 4;
  for (int i = 0; i < kTries; ++i) {
    const auto before = header.progress_version.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    const auto at = header.progress_position.load(std::memory_order_acquire);
    const auto done = header.progress_done.load(std::memory_order_acquire);
    const auto total = header.progress_total.load(std::memory_order_acquire);
    const auto message_bytes = header.progress_message_bytes.load(std::memory_order_acquire);
    MessageWords words{};
    for (std::size_t w = 0; w < message_words(message_bytes); ++w) {
      words[w] = header.progress_message[w].load(std::memory_order_acquire);
    }
    if (header.progress_version.load(std::memory_order_relaxed) != before) continue;
    if (before == 0 || at != position) return false;
    progress = {
        .done = done,
        .total = total,
        .message_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(message_bytes, kProgressMessageBytesMax)),
        .message = std::bit_cast<std::array<char, kProgressMessageBytesMax>>(words)};
    return true;
  }
  return false;
}

// The same protocol. The handler's own signal is blocked while it runs, so it is the only writer.
void store_stack(ChannelHeader& header, std::uint64_t position, std::span<void* const> frames) noexcept {
  const auto version = header.stack_version.load(std::memory_order_relaxed);
  const std::size_t depth = std::min(frames.size(), kStackFramesMax);
  header.stack_version.store(version + 1, std::memory_order_relaxed);
  header.stack_position.store(position, std::memory_order_release);
  header.stack_depth.store(static_cast<std::uint32_t>(depth), std::memory_order_release);
  for (std::size_t i = 0; i < depth; ++i) {
    header.stack[i].store(reinterpret_cast<std::uint64_t>(frames[i]), std::memory_order_release);
  }
  header.stack_version.store(version + 2, std::memory_order_seq_cst);
}

bool load_stack(const ChannelHeader& header, std::uint64_t position, StackView& stack) noexcept {
  constexpr int kTries = 4;
  for (int i = 0; i < kTries; ++i) {
    const auto before = header.stack_version.load(std::memory_order_seq_cst);
    if (before % 2 != 0) continue;
    const auto at = header.stack_position.load(std::memory_order_acquire);
    const auto depth = header.stack_depth.load(std::memory_order_acquire);
    if (depth > kStackFramesMax) return false;
    for (std::size_t frame = 0; frame < depth; ++frame) {
      stack.addresses[frame] = header.stack[frame].load(std::memory_order_acquire);
    }
    if (header.stack_version.load(std::memory_order_relaxed) != before) continue;
    if (before == 0 || at != position) return false;
    stack.depth = depth;
    return true;
  }
  return false;
}

}  // namespace quern::ipc
