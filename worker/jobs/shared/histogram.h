// Counting numbers into bins that several jobs, in several processes, fill at once.
//
// The shared buffer is an array of 64-bit words:
//
//     word 0      numbers counted so far, in all
//     word 1      of them: below `min`
//     word 2      of them: at or above `max`, or not a number
//     word 3 + i  of them: in bin i of n, [min + i * width, min + (i + 1) * width), width = (max - min) / n
//
// A job counts by itself first, and then adds each bin with one atomic addition: no lock, and no traffic between
// processors while it counts. Word 0 comes last (release), so whoever reads it first (acquire) finds at least as
// many in the bins. A job that dies while it adds has added some bins and not word 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "worker/sdk/job.h"

namespace quern::jobs {

inline constexpr std::size_t kHistogramHeadWords = 3;

struct HistogramRange {
  double min = 0;
  double max = 1;  // > min
  std::size_t bins = 1;
};

// One job's counts: what will be added to the words from 1 on.
class Histogram {
 public:
  explicit Histogram(const HistogramRange& range);
  void count(double value) noexcept;
  void add_to(const AtomicView<std::uint64_t>& words) const noexcept;

 private:
  HistogramRange range_;
  double bins_per_unit_;
  std::uint64_t counted_ = 0;
  std::vector<std::uint64_t> counts_;  // below, above, bins
};

// Counts packed numbers of `type` ("u8", "u16", "u32", "f32", "f64", in the machine's order). Throws
// sdk::JobError(kBadInput) when `bytes` is no whole number of them; looks at `job`'s cancel word as it goes.
void count_packed(const sdk::Job& job, std::span<const std::byte> bytes, std::string_view type, Histogram& histogram);

}  // namespace quern::jobs
