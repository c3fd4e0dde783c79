#include "worker/template.h"

#include <errno.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "ipc/control.h"
#include "worker/fork_worker.h"
#include "worker/health.h"
#include "worker/loop.h"
#include "worker/modules.h"
#include "worker/sandbox.h"
#include "worker/sdk/describe.h"
#include "worker/stack_probe.h"
#include "worker/symbols.h"

namespace quern::worker {
namespace {

// Libraries that start thread pools at load are told not to: a forked copy of a pool is a deadlock.
void forbid_thread_pools() {
  for (const char* variable : {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"}) {
    ::setenv(variable, "1", 1);
  }
}

// The last of `kinds` is the health kind.
Result<void> announce(int control, const std::vector<const sdk::Kind*>& kinds) {
  std::vector<std::byte> body;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    body.clear();
    const bool health = i + 1 == kinds.size();
    const std::string description =
        sdk::describe(*kinds[i], health ? sdk::KindRole::kHealth : sdk::KindRole::kOrdinary);
    ipc::encode_kind(
        body,
        {.sensitive = kinds[i]->sensitive, .canary = health, .name = kinds[i]->name, .description_json = description});
    const auto sent = ipc::send_control(control, {.type = ipc::ControlType::kKind, .id = i}, body);
    if (!sent) return sent.error();
  }
  const auto sent = ipc::send_control(control, {.type = ipc::ControlType::kReady, .id = kinds.size()});
  if (!sent) return sent.error();
  return {};
}

void report_failure(int control, const std::string& reason) {
  fmt::print(stderr, "quern-worker: {}\n", reason);
  (void)ipc::send_control(control, {.type = ipc::ControlType::kLoadFailed}, ipc::as_bytes(reason));
}

// In the worker: nothing of the template is left but the loaded modules.
int become_worker(TemplateOptions& options, ipc::ControlMessage& spawn, const std::vector<const sdk::Kind*>& kinds,
                  const FilterProgram& filter) {
  if (!die_with_supervisor(options.supervisor_pid)) return 1;
  options.control.reset();
  return run_worker({.channel = std::move(spawn.fds[0]),
                     .eventfd = std::move(spawn.fds[1]),
                     .control = std::move(spawn.fds[2]),
                     .kinds = kinds,
                     .sandbox = {.supervisor_pid = options.supervisor_pid,
                                 .memory_bytes_max = options.memory_bytes_max,
                                 .processes = options.processes},
                     .filter = filter});
}

// False: the template should end.
bool answer_symbolize(int control, const ipc::ControlMessage& message) {
  const auto addresses = ipc::decode_addresses(message.body);
  if (!addresses) return false;
  const std::string text = symbolize(*addresses);
  return ipc::send_control(control, {.type = ipc::ControlType::kSymbols, .id = message.header.id}, ipc::as_bytes(text))
      .has_value();
}

}  // namespace

int run_template(TemplateOptions options) {
  if (!die_with_supervisor(options.supervisor_pid)) return 1;
  forbid_thread_pools();
  ::signal(SIGINT, SIG_IGN);  // Ctrl-C and systemd's TERM go to the whole group; the supervisor decides
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  prepare_stack_probe();

  auto kinds = load_modules(options.modules);
  if (!kinds) {
    report_failure(options.control.get(), kinds.error().message);
    return 1;
  }
  const sdk::Kind health = make_health_kind(options.pool, *kinds);
  kinds->push_back(&health);
  const auto filter = build_filter(options.processes, options.supervisor_pid);
  if (!filter) {
    report_failure(options.control.get(), to_string(filter.error()));
    return 1;
  }
  if (const auto announced = announce(options.control.get(), *kinds); !announced) {
    report_failure(options.control.get(), to_string(announced.error()));
    return 1;
  }

  ipc::ControlMessage message;
  for (;;) {
    const auto received = ipc::receive_control(options.control.get(), message);
    if (!received) return 1;
    if (*received == ipc::IoStatus::kClosed) return 0;  // the supervisor needs us no more
    if (message.header.type == ipc::ControlType::kSymbolize) {
      if (!answer_symbolize(options.control.get(), message)) return 1;
      continue;
    }
    if (message.header.type != ipc::ControlType::kSpawn || message.fds.size() != 3) return 1;
    if (const int threads = thread_count(); threads != 1) {
      // a lock that another thread holds now would stay locked in the worker for ever
      report_failure(options.control.get(),
                     fmt::format("the template must have one thread and has {}: a job module started some", threads));
      return 1;
    }
    const Forked forked = fork_worker();
    if (forked.pid == 0) return become_worker(options, message, *kinds, *filter);
    const std::uint64_t incarnation = message.header.id;
    if (forked.pid < 0) {
      (void)ipc::send_control(
          options.control.get(),
          {.type = ipc::ControlType::kSpawnFailed, .value = forked.error_number, .id = incarnation});
    } else {
      const int pidfd = forked.pidfd.get();
      (void)ipc::send_control(options.control.get(),
                              {.type = ipc::ControlType::kSpawned, .value = forked.pid, .id = incarnation}, {},
                              std::span(&pidfd, 1));
    }
    message.fds.clear();  // the worker has its own
  }
}

}  // namespace quern::worker
