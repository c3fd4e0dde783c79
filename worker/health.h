// The health kind: what a template announces besides its modules' kinds, as `health.<pool>`.
//
// A job of it runs in a worker like any other, so its answer proves the way there and back: queue,
// ring, worker, ring. Inside it runs the canary of each kind of the pool that has one, in the modules'
// order; what canaries put out is counted and thrown away. The first that fails ends the job with
// `internal`, naming its kind and what it said. Without canaries the job succeeds: the way is proved.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "worker/sdk/job.h"

namespace quern::worker {

inline constexpr std::string_view kHealthPrefix = "health.";
// What a canary may put out: far more than one has reason to.
inline constexpr std::size_t kCanaryOutputBytesMax = 64U << 20;

// `kinds` outlive the returned kind.
[[nodiscard]] sdk::Kind make_health_kind(const std::string& pool, std::vector<const sdk::Kind*> kinds);

// Throws sdk::JobError when `kind`'s canary is one that its kind would refuse: parameters that do not
// fit its ParamSpecs, or an input too many or too few.
void check_canary(const sdk::Kind& kind);

}  // namespace quern::worker
