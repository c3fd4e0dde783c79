// A supervisor for the worker's tests: it executes the real quern-worker, reads what it announces, has
// it fork workers, and plays the other end of their channels. Every wait is on a condition with a bound;
// one that passes it throws.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/channel.h"
#include "ipc/completion_ring.h"
#include "ipc/control.h"
#include "ipc/submission_ring.h"
#include "ipc/wire.h"

namespace quern::test {

inline constexpr ipc::Geometry kTestGeometry{.slots = 8, .input_extent_bytes = 8192, .output_extent_bytes = 8192};

// One job, as the supervisor would publish it.
struct Call {
  std::uint32_t kind = 0;
  std::string params = "{}";
  std::vector<wire::Part> parts{};
  std::vector<int> fds{};  // of the parts that are in one
  bool body_in_fd = false;
  std::uint64_t job_id = 1;
  std::uint64_t result_bytes_max = 1ULL << 30;
  std::uint32_t attempt = 1;
};

struct AnswerPart {
  std::string name;
  std::string bytes;
  bool in_fd = false;
};

struct Answer {
  ipc::Outcome outcome{};
  std::vector<AnswerPart> parts{};
  std::optional<Error> error{};
  std::uint64_t run_ns = 0;
};

// The job body of `call`: what a client would have sent.
[[nodiscard]] std::vector<std::byte> body_of(const Call& call);
// Puts `call` into the producer's next slot, its descriptors ahead of it.
void publish(const ipc::Channel& channel, ipc::SubmissionProducer& producer, int control, const Call& call);
// Reads what a completion refers to.
[[nodiscard]] Answer read_answer(const ipc::Channel& channel, const ipc::Completion& completion, int control);

// How a child ended: exit code, or -signal.
[[nodiscard]] int wait_for_end(int pidfd);
// Whether a process ends within the bound.
[[nodiscard]] bool ends(int pidfd, int limit_ms = 20'000);

class FakeWorker {
 public:
  FakeWorker(const ipc::Geometry& geometry, std::uint64_t incarnation);
  FakeWorker(FakeWorker&&) = delete;
  ~FakeWorker();  // kills and reaps

  std::uint64_t submit(const Call& call);
  // The next answer; nothing when the worker died without one.
  [[nodiscard]] std::optional<Answer> answer();
  std::optional<Answer> run(const Call& call) {
    submit(call);
    return answer();
  }
  void retire();
  [[nodiscard]] int wait_for_end() { return test::wait_for_end(std::exchange(pidfd_, unique_fd()).get()); }

  [[nodiscard]] const ipc::Channel& channel() const { return channel_.channel; }
  [[nodiscard]] ipc::SubmissionProducer& submissions() { return submissions_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

 private:
  friend class FakeSupervisor;
  ipc::Channel::Created channel_;
  ipc::SubmissionProducer submissions_;
  ipc::CompletionConsumer completions_;
  ipc::ControlPair control_;
  unique_fd eventfd_;
  unique_fd pidfd_;
  pid_t pid_ = -1;
  std::uint64_t incarnation_;
};

class FakeSupervisor {
 public:
  // Executes quern-worker with `modules` and `more` arguments, and waits until it is ready or has failed.
  explicit FakeSupervisor(std::vector<std::string> modules = {QUERN_PROBE_MODULE}, std::vector<std::string> more = {});
  ~FakeSupervisor();  // kills and reaps the template
  FakeSupervisor(const FakeSupervisor&) = delete;

  // What was announced; or why loading failed.
  [[nodiscard]] const std::vector<std::string>& kinds() const { return kinds_; }
  [[nodiscard]] const std::vector<std::string>& canaries() const { return canaries_; }  // those marked as one
  [[nodiscard]] const std::string& load_failure() const { return load_failure_; }
  [[nodiscard]] std::uint32_t kind(std::string_view name) const;

  [[nodiscard]] std::unique_ptr<FakeWorker> spawn(const ipc::Geometry& geometry = kTestGeometry);

  // The template's names for code addresses, a line each.
  [[nodiscard]] std::string symbolize(std::span<const std::uint64_t> addresses);

  void close_control() { control_.supervisor.reset(); }
  void kill_template();
  [[nodiscard]] int wait_for_end() { return test::wait_for_end(std::exchange(pidfd_, unique_fd()).get()); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int control() const { return control_.supervisor.get(); }

 private:
  void load();

  ipc::ControlPair control_;
  ipc::ControlMessage message_;
  std::vector<std::string> kinds_;
  std::vector<std::string> canaries_;
  std::string load_failure_;
  unique_fd pidfd_;
  pid_t pid_ = -1;
  std::uint64_t next_incarnation_ = 1;
};

}  // namespace quern::test
