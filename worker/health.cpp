#include "worker/health.h"

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <deque>
#include <span>
#include <utility>

#include "worker/job_error.h"
#include "worker/sdk/params.h"

namespace quern::worker {
namespace {

// Has room for what was asked for last, and forgets what was written.
class DiscardedOutput final : public sdk::Output {
 public:
  std::span<std::byte> prepare(std::size_t n) override {
    if (n > kCanaryOutputBytesMax - size_) {
      throw sdk::JobError(sdk::JobErrorCode::kTooLarge,
                          fmt::format("a canary's output has at most {} bytes", kCanaryOutputBytesMax));
    }
    room_.resize(n);
    return room_;
  }
  void commit(std::size_t n) override { size_ += n; }
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }

 private:
  std::vector<std::byte> room_;
  std::size_t size_ = 0;
};

std::vector<sdk::InputPart> inputs_of(const sdk::Canary& canary) {
  if (canary.input.empty()) return {};
  return {{.name = {}, .bytes = std::as_bytes(std::span(canary.input))}};
}

// One canary, as its kind sees it. Stops when the health job is asked to stop.
class CanaryJob final : public sdk::Job {
 public:
  CanaryJob(const sdk::Kind& kind, sdk::Job& health)
      : health_(health),
        params_(sdk::check_params(kind.params, kind.canary->params_json, {})),
        inputs_(inputs_of(*kind.canary)),
        memory_(kind.shared.buffers_min, std::vector<std::uint64_t>(kSharedWords)) {
    for (auto& words : memory_) shared_.emplace_back(std::as_writable_bytes(std::span(words)));
    health_.reserve_memory(0);  // what the canary before it had
  }

  [[nodiscard]] const boost::json::object& params() const noexcept override { return params_; }
  [[nodiscard]] std::span<const sdk::InputPart> inputs() const noexcept override { return inputs_; }
  [[nodiscard]] sdk::Output& output(std::string_view /*part_name*/) override { return outputs_.emplace_back(); }
  [[nodiscard]] std::span<const SharedView> shared() const noexcept override { return shared_; }
  void forward(const sdk::InputPart& input, std::string_view part_name) override {
    output(part_name).write(input.bytes);
  }
  [[nodiscard]] bool cancel_requested() const noexcept override { return health_.cancel_requested(); }
  void progress(std::uint64_t /*done*/, std::uint64_t /*total*/, std::string_view /*message*/) noexcept override {}
  void reserve_memory(std::uint64_t bytes) override { health_.reserve_memory(bytes); }
  [[nodiscard]] std::uint32_t attempt() const noexcept override { return health_.attempt(); }

 private:
  sdk::Job& health_;
  boost::json::object params_;
  std::vector<sdk::InputPart> inputs_;
  static constexpr std::size_t kSharedWords = 512;  // a page of its own in place of each shared buffer
  std::vector<std::vector<std::uint64_t>> memory_;
  std::vector<SharedView> shared_;
  std::deque<DiscardedOutput> outputs_;
};

void run_canary(const sdk::Kind& kind, sdk::Job& health) {
  try {
    CanaryJob job(kind, health);
    kind.run(job);
  } catch (...) {
    health.throw_if_cancelled();  // it was stopped and did not fail
    throw sdk::JobError(sdk::JobErrorCode::kInternal,
                        fmt::format("the canary of {} failed: {}", kind.name, error_of_current_exception().message));
  }
}

}  // namespace

sdk::Kind make_health_kind(const std::string& pool, std::vector<const sdk::Kind*> kinds) {
  std::erase_if(kinds, [](const sdk::Kind* kind) { return !kind->canary; });
  sdk::Kind health;
  health.name = std::string(kHealthPrefix) + pool;
  health.summary = "Runs the canary of every kind of this pool that has one";
  health.input = {.parts_min = 0, .parts_max = 0, .help = ""};
  health.output = "nothing";
  health.run = [canaries = std::move(kinds)](sdk::Job& job) {
    for (std::size_t i = 0; i < canaries.size(); ++i) {
      job.throw_if_cancelled();
      run_canary(*canaries[i], job);
      job.progress(i + 1, canaries.size());
    }
  };
  return health;
}

void check_canary(const sdk::Kind& kind) {
  (void)sdk::check_params(kind.params, kind.canary->params_json, {});
  const std::size_t parts = inputs_of(*kind.canary).size();
  if (parts < kind.input.parts_min || parts > kind.input.parts_max) {
    throw sdk::JobError(sdk::JobErrorCode::kInvalidArgument, fmt::format("{} input parts are not what it takes", parts),
                        "parts");
  }
}

}  // namespace quern::worker
