// A fleet of real workers with the debug module, its jobs' answers and its deaths written down. The loop
// is turned by run_until(), which has a bound.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "supervisor/fleet.h"

namespace quern::supervisor {

class FleetHarness final : public WorkerEvents, public FleetEvents {
 public:
  explicit FleetHarness(FleetOptions options = {}) : fleet(io, registry, prepared(std::move(options)), *this, *this) {
    boost::asio::co_spawn(io, start(), boost::asio::detached);
    run_until([&] { return !serving.empty(); });
  }
  ~FleetHarness() { stop(); }

  void stop() {
    fleet.kill_all({CauseKind::kSupervisorStopping, 0});
    fleet.stop();
    bool stopped = false;
    boost::asio::co_spawn(io, fleet.stopped(), [&](std::exception_ptr) { stopped = true; });
    run_until([&] { return stopped; });
  }

  void run_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("the condition does not come true");
      io.restart();
      io.run_one_for(std::chrono::milliseconds(20));
    }
  }

  // Publishes a job to the newest serving worker.
  Job& give(std::string_view kind, std::string_view params = "{}") {
    Job& job = jobs.emplace_back();
    job.id = jobs.size();
    job.kind = &kinds.at(std::string(kind));
    job.result_bytes_max = 1U << 20;
    ipc::ByteWriter writer(job.body);
    wire::encode_job_body(writer, params, {});
    if (!serving.back()->publish(job, now_ns()).value()) throw std::runtime_error("the worker takes no job");
    return job;
  }

  // WorkerEvents, FleetEvents
  void on_answer(Worker&, Job& job, const WorkerAnswer& answer) override { answers[job.id] = answer.error; }
  void on_begun(Job& job) override { job.running = true; }
  void on_emptied(Worker& /*worker*/) override {}
  std::size_t stream_room(const Job& /*job*/) override { return SIZE_MAX; }
  void on_stream(Job& /*job*/, ipc::ByteSpan /*first*/, ipc::ByteSpan /*second*/) override {}
  void on_stack(Worker& worker, Job& job) override { have_stack = worker.stack_of(job, stack); }
  void on_room(Worker&) override {}
  void on_serving(Worker& worker) override { serving.push_back(&worker); }
  void on_retiring(Worker& worker) override { std::erase(serving, &worker); }
  void on_dead(Worker& worker, Cause cause) override {
    std::erase(serving, &worker);
    deaths.push_back(cause);
  }

  boost::asio::io_context io;
  ChildRegistry registry;
  std::map<std::string, Kind> kinds;
  std::deque<Job> jobs;
  std::map<std::uint64_t, std::optional<Error>> answers;
  std::vector<Worker*> serving;
  std::vector<Cause> deaths;
  std::vector<std::uint64_t> stack;
  bool have_stack = false;
  Fleet fleet;

 private:
  static FleetOptions prepared(FleetOptions options) {
    options.template_options.pool = "test";
    options.template_options.worker_path = QUERN_WORKER;
    options.template_options.module_paths = {QUERN_DEBUG_MODULE};
    return options;
  }
  boost::asio::awaitable<void> start() {
    const auto loaded = co_await fleet.start();
    for (const LoadedKind& kind : loaded.value()) {
      kinds.emplace(kind.name, Kind{.name = kind.name,
                                    .description_json = kind.description_json,
                                    .index = static_cast<std::uint32_t>(kinds.size()),
                                    .sensitive = kind.sensitive});
      order_.push_back(kind.name);
    }
    for (std::uint32_t i = 0; i < order_.size(); ++i) kinds.at(order_[i]).index = i;
  }

  std::vector<std::string> order_;
};

}  // namespace quern::supervisor
