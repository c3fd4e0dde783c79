// Heap memory that is zeroed before it is given back. Upstream of the memory that a job's parameters
// live in: they may be secrets, and the heap hands freed memory to the next job.
#pragma once

#include <string.h>

#include <boost/json/memory_resource.hpp>
#include <cstddef>
#include <new>

namespace quern::worker {

class WipingMemory final : public boost::json::memory_resource {
 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return ::operator new(bytes, std::align_val_t(alignment));
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    ::explicit_bzero(memory, bytes);
    ::operator delete(memory, std::align_val_t(alignment));
  }
  [[nodiscard]] bool do_is_equal(const boost::json::memory_resource& other) const noexcept override {
    return this == &other;
  }
};

}  // namespace quern::worker
