#include "worker/jobs/shared/histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace quern::jobs {
namespace {

// Between two looks at the cancel word: some 100 us of counting.
constexpr std::size_t kBlock = 64U << 10;

template <class Number>
void count_as(const sdk::Job& job, std::span<const std::byte> bytes, Histogram& histogram) {
  if (bytes.size() % sizeof(Number) != 0) {
    throw sdk::JobError(
        sdk::JobErrorCode::kBadInput,
        fmt::format("the input has {} bytes, no multiple of a number's {}", bytes.size(), sizeof(Number)));
  }
  const std::size_t total = bytes.size() / sizeof(Number);
  for (std::size_t done = 0; done < total;) {
    job.throw_if_cancelled();
    const std::size_t end = std::min(total, done + kBlock);
    for (; done < end; ++done) {
      Number number;  // the input may be aligned to anything
      std::memcpy(&number, bytes.data() + done * sizeof number, sizeof number);
      histogram.count(static_cast<double>(number));
    }
  }
}

}  // namespace

Histogram::Histogram(const HistogramRange& range)
    : range_(range),
      bins_per_unit_(static_cast<double>(range.bins) / (range.max - range.min)),
      counts_(kHistogramHeadWords - 1 + range.bins) {}

void Histogram::count(double value) noexcept {
  ++counted_;
  if (value < range_.min) {
    ++counts_[0];
  } else if (!(value < range_.max)) {  // also what is not a number
    ++counts_[1];
  } else {
    // rounding may reach the end
    const auto bin = std::min(static_cast<std::size_t>((value - range_.min) * bins_per_unit_), range_.bins - 1);
    ++counts_[kHistogramHeadWords - 1 + bin];
  }
}

void Histogram::add_to(const AtomicView<std::uint64_t>& words) const noexcept {
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] > 0) words[i + 1].fetch_add(counts_[i], std::memory_order_relaxed);
  }
  words[0].fetch_add(counted_, std::memory_order_release);
}

void count_packed(const sdk::Job& job, std::span<const std::byte> bytes, std::string_view type, Histogram& histogram) {
  if (type == "u8") return count_as<std::uint8_t>(job, bytes, histogram);
  if (type == "u16") return count_as<std::uint16_t>(job, bytes, histogram);
  if (type == "u32") return count_as<std::uint32_t>(job, bytes, histogram);
  if (type == "f32") return count_as<float>(job, bytes, histogram);
  return count_as<double>(job, bytes, histogram);
}

}  // namespace quern::jobs
