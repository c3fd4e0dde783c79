// A job without a worker: what a kind's `run` sees, held in memory, and what it did, open to look at.
//
//     FakeJob job(find_kind(module, "debug.echo"), R"({"ms":5})");
//     job.add_input("bytes");
//     job.run();
//     EXPECT_EQ(job.text(), "bytes");
//
// Parameters go through the same check as a real job's, so run() of a wrong one throws what a client
// would get.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "worker/sdk/job.h"
#include "worker/sdk/params.h"

extern "C" const ::quern::sdk::Module* quern_job_module_v1();  // of the one module a test is linked with

namespace quern::sdk {

inline const Kind& find_kind(std::string_view name) {
  const Module& module = *quern_job_module_v1();
  const auto kind = std::ranges::find(module.kinds, name, &Kind::name);
  if (kind == module.kinds.end()) throw std::out_of_range("no kind " + std::string(name));
  return *kind;
}

class FakeOutput : public Output {
 public:
  FakeOutput(std::string_view name, std::size_t bytes_max) : name_(name), bytes_max_(bytes_max) {}

  std::span<std::byte> prepare(std::size_t n) override {
    if (n > bytes_max_ - size_) throw JobError(JobErrorCode::kTooLarge, "the result is too large");
    bytes_.resize(size_ + n);
    return std::span(bytes_).subspan(size_);
  }
  void commit(std::size_t n) override {
    if (n > bytes_.size() - size_) throw std::logic_error("committed more than prepared");
    size_ += n;
  }
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return std::span(bytes_).first(size_); }

 private:
  std::string name_;
  std::size_t bytes_max_;
  std::vector<std::byte> bytes_{};
  std::size_t size_ = 0;
};

class FakeJob : public Job {
 public:
  explicit FakeJob(const Kind& kind, std::string_view params_json = {})
      : kind_(kind), params_(check_params(kind.params, params_json, {})) {}

  FakeJob& add_input(std::span<const std::byte> bytes, std::string_view name = {}) {
    inputs_.push_back({name, bytes});
    return *this;
  }
  FakeJob& add_input(std::string_view bytes, std::string_view name = {}) {
    return add_input(std::as_bytes(std::span(bytes.data(), bytes.size())), name);
  }
  // A shared buffer of 8-byte words; the caller's memory.
  FakeJob& add_shared(std::span<std::uint64_t> words) {
    shared_.emplace_back(std::as_writable_bytes(words));
    return *this;
  }
  void run() { kind_.run(*this); }

  // What a test sets.
  std::uint32_t attempt_number = 1;
  std::size_t result_bytes_max = 1U << 30;
  std::uint64_t memory_budget_bytes = UINT64_MAX;  // more than this is refused
  bool cancelled = false;
  mutable std::size_t polls_until_cancel = 0;  // not 0: this many polls say no, later ones yes

  // What the job did.
  std::deque<FakeOutput> outputs{};                                // a part's address must stay
  std::vector<std::pair<std::uint64_t, std::uint64_t>> reports{};  // of progress, with their messages
  std::vector<std::string> messages{};
  std::vector<std::uint64_t> reserved{};  // bytes, by call of reserve_memory
  mutable std::size_t polls = 0;

  // The only part of the result.
  [[nodiscard]] std::span<const std::byte> bytes() const {
    if (outputs.size() != 1) throw std::logic_error("the result has not one part");
    return outputs.front().bytes();
  }
  [[nodiscard]] std::string text() const { return {reinterpret_cast<const char*>(bytes().data()), bytes().size()}; }

  [[nodiscard]] const boost::json::object& params() const noexcept override { return params_; }
  [[nodiscard]] std::span<const InputPart> inputs() const noexcept override { return inputs_; }
  [[nodiscard]] std::span<const SharedView> shared() const noexcept override { return shared_; }
  void forward(const InputPart& input, std::string_view part_name) override { output(part_name).write(input.bytes); }
  [[nodiscard]] Output& output(std::string_view part_name) override {
    return outputs.emplace_back(part_name, result_bytes_max);
  }
  [[nodiscard]] bool cancel_requested() const noexcept override {
    ++polls;
    return cancelled || (polls_until_cancel != 0 && polls > polls_until_cancel);
  }
  void progress(std::uint64_t done, std::uint64_t total, std::string_view message) noexcept override {
    reports.emplace_back(done, total);
    messages.emplace_back(message);
  }
  void reserve_memory(std::uint64_t bytes) override {
    if (bytes > memory_budget_bytes) throw JobError(JobErrorCode::kTooLarge, "the pool never has so much memory");
    if (!reserved.empty() && reserved.back() != 0 && bytes > reserved.back()) {
      throw JobError(JobErrorCode::kInternal, "a module reserved more memory than it had before");
    }
    reserved.push_back(bytes);
  }
  [[nodiscard]] std::uint32_t attempt() const noexcept override { return attempt_number; }

 private:
  const Kind& kind_;
  boost::json::object params_;
  std::vector<InputPart> inputs_{};
  std::vector<SharedView> shared_;
};

// What `call` fails with; fails the test when it does not.
template <class Call>
JobError error_of(Call&& call) {
  try {
    call();
  } catch (const JobError& error) {
    return error;
  }
  throw std::logic_error("the call was expected to fail with a JobError, and did not");
}

}  // namespace quern::sdk
