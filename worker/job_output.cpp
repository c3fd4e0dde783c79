#include "worker/job_output.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/error.h"
#include "common/sizes.h"
#include "ipc/memfd.h"

namespace quern::worker {
namespace {

constexpr std::size_t kFirstMemfdBytes = 1U << 20;

[[noreturn]] void out_of_memory(const Error& error) {
  throw sdk::JobError(sdk::JobErrorCode::kOutOfMemory, "no memory for the result: " + error.message);
}

}  // namespace

JobOutput::JobOutput(std::string_view part_name, std::span<std::byte> room, std::uint64_t bytes_max)
    : name_(part_name), room_(room), bytes_max_(bytes_max) {}

JobOutput::JobOutput(JobOutput&& other) noexcept
    : name_(std::move(other.name_)),
      room_(other.room_),
      bytes_max_(other.bytes_max_),
      size_(other.size_),
      prepared_(other.prepared_),
      memfd_(std::move(other.memfd_)),
      adopted_(other.adopted_),
      mapped_(std::exchange(other.mapped_, nullptr)),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)) {}

JobOutput::~JobOutput() { unmap(); }

void JobOutput::too_large() const {
  throw sdk::JobError(
      sdk::JobErrorCode::kTooLarge,
      fmt::format("the result exceeds what is left of the pool's result_bytes_max ({})", format_size(bytes_max_)));
}

std::span<std::byte> JobOutput::prepare(std::size_t n) {
  if (adopted_) throw std::logic_error("a module wrote to a part that is a forwarded input");
  if (n > bytes_max_ - size_) too_large();
  prepared_ = n;
  if (!in_memfd() && n <= room_.size() - size_) return room_.subspan(size_, n);
  if (!in_memfd() || n > mapped_bytes_ - size_) grow_to(size_ + n);
  return {mapped_ + size_, n};
}

void JobOutput::adopt(unique_fd sealed, std::uint64_t bytes) {
  if (bytes > bytes_max_) too_large();
  memfd_ = std::move(sealed);
  size_ = static_cast<std::size_t>(bytes);
  adopted_ = true;
}

void JobOutput::commit(std::size_t n) {
  if (n > prepared_) throw std::logic_error("a module committed more than it prepared");
  prepared_ = 0;
  size_ += n;
}

// Requires: capacity <= bytes_max_, as prepare() checked.
void JobOutput::grow_to(std::size_t capacity) {
  const std::size_t doubled = std::max(kFirstMemfdBytes, mapped_bytes_ * 2);
  capacity = std::max(capacity, static_cast<std::size_t>(std::min<std::uint64_t>(doubled, bytes_max_)));
  if (!in_memfd()) {
    auto created = ipc::create_memfd("result", capacity);
    if (!created) out_of_memory(created.error());
    void* fresh = ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, created->get(), 0);
    if (fresh == MAP_FAILED) out_of_memory(system_error("mmap", "result", errno));
    memfd_ = std::move(*created);
    mapped_ = static_cast<std::byte*>(fresh);
    ipc::advise_huge_pages({mapped_, capacity});
    std::memcpy(mapped_, room_.data(), size_);
  } else {
    if (::ftruncate(memfd_.get(), static_cast<off_t>(capacity)) != 0)
      out_of_memory(system_error("ftruncate", "result", errno));
    void* moved = ::mremap(mapped_, mapped_bytes_, capacity, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) out_of_memory(system_error("mremap", "result", errno));
    mapped_ = static_cast<std::byte*>(moved);
    ipc::advise_huge_pages({mapped_, capacity});
  }
  mapped_bytes_ = capacity;
}

void JobOutput::finish() {
  if (!in_memfd() || adopted_) return;
  unmap();  // a writable mapping would forbid the seal
  if (::ftruncate(memfd_.get(), static_cast<off_t>(size_)) != 0)
    out_of_memory(system_error("ftruncate", "result", errno));
  if (auto sealed = ipc::seal_contents(memfd_.get()); !sealed) throw std::runtime_error(sealed.error().message);
}

void JobOutput::unmap() noexcept {
  if (mapped_ != nullptr) ::munmap(mapped_, mapped_bytes_);
  mapped_ = nullptr;
  mapped_bytes_ = 0;
}

}  // namespace quern::worker
