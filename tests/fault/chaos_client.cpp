#include "tests/fault/chaos_client.h"

#include <fmt/format.h>
#include <signal.h>
#include <sodium.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string_view>

#include "client/client.h"

namespace quern::test {
namespace {

using namespace std::chrono_literals;
using client::Job;
using client::Part;
using Clock = std::chrono::steady_clock;

constexpr const char* kFlag = "--chaos-client";
constexpr std::size_t kInFlightMax = 24;
constexpr std::chrono::milliseconds kRefusedPause{10};  // when a refusal gives no advice
constexpr auto kLastAnswerMax = 30s;                    // from the last request
constexpr std::size_t kProducedPeriod = 251;
constexpr std::uint32_t kOverrunMs = 60;

// How often each, of their sum.
constexpr int kWeights[kContents] = {40, 12, 10, 4, 6, 8, 2, 1, 6, 2, 1, 4, 4, 8, 8};

std::string random_bytes(std::mt19937_64& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size; at += 8) {
    const std::uint64_t word = random();
    std::copy_n(reinterpret_cast<const char*>(&word), std::min<std::size_t>(8, size - at), bytes.data() + at);
  }
  return bytes;
}

// Mostly small, some just inline, some in descriptors.
std::size_t random_size(std::mt19937_64& random) {
  const std::uint64_t dice = random() % 10;
  if (dice < 6) return random() % 2'000;
  if (dice < 9) return random() % 70'000;
  return random() % 600'000;
}

// What debug.produce makes.
std::string produced(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i % kProducedPeriod);
  return bytes;
}

// White space that says a number: it makes parameters differ that mean the same.
std::string blank(std::uint64_t number) {
  std::string text;
  for (int bit = 0; bit < 64; ++bit) text += (number >> bit & 1) != 0 ? '\t' : ' ';
  return text;
}

std::string sha256_hex(const std::string& data) {
  unsigned char digest[crypto_hash_sha256_BYTES];
  crypto_hash_sha256(digest, reinterpret_cast<const unsigned char*>(data.data()), data.size());
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

// A job and the one answer that is right.
struct Planned {
  Content content{};
  Job job{};
  std::vector<std::string> answer{};        // the parts' bytes
  std::string failure{};                    // the message of a job that fails by itself
  bool says_attempt = false;                // the answer names the attempt that survived
  std::shared_ptr<std::string> streamed{};  // what came of a result that is taken as it is made
};

Planned plan(std::uint64_t seed, std::uint64_t number, bool unique) {
  std::mt19937_64 random(seed * 1'000'003 + number);
  std::discrete_distribution<int> mix(std::begin(kWeights), std::end(kWeights));
  Planned planned{.content = static_cast<Content>(mix(random))};
  Job& job = planned.job;
  const auto echo = [&](std::size_t parts) {
    job.kind = "debug.echo";
    for (std::size_t i = 0; i < parts; ++i) planned.answer.push_back(random_bytes(random, random_size(random)));
    for (const std::string& bytes : planned.answer) job.parts.push_back(Part::copy(bytes));
  };
  const auto words = [&](const char* kind, std::string params, std::string answer) {
    job.kind = kind;
    job.params_json = std::move(params);
    planned.answer = {std::move(answer)};
  };
  switch (planned.content) {
    case Content::kEcho: echo(random() % 4 == 0 ? 3 : 1); break;
    case Content::kDigest: {
      const std::string data = random_bytes(random, random_size(random));
      words("hash.digest", "{}", sha256_hex(data));
      job.parts.push_back(Part::copy(data));
      break;
    }
    case Content::kSleep: words("debug.sleep", fmt::format(R"({{"ms":{}}})", random() % 20), "slept\n"); break;
    case Content::kProgress:
      words("debug.progress", R"({"steps":20,"ms":1})", "done\n");
      job.on_progress = [](const wire::Progress& progress) {
        if (progress.done > progress.total || progress.total != 20) std::abort();  // nothing its job has said
      };
      break;
    case Content::kFail:
      planned.failure = fmt::format("failed as planned {}", random() % 1'000);
      words("debug.fail", fmt::format(R"({{"message":"{}"}})", planned.failure), "");
      break;
    case Content::kProduce: {
      const std::string bytes = produced(random_size(random));
      words("debug.produce", fmt::format(R"({{"bytes":{}}})", bytes.size()), bytes);
      break;
    }
    case Content::kCrash:
      words("debug.crash", fmt::format(R"({{"until_attempt":2,"after_ms":{}}})", random() % 5), "");
      planned.says_attempt = true;
      break;
    case Content::kExit:
      words("debug.exit", R"({"until_attempt":2,"code":7})", "");
      planned.says_attempt = true;
      break;
    case Content::kOnce:
      echo(1);
      job.options.attempts = 1;
      break;
    case Content::kOverrun:
      words("debug.sleep", R"({"ms":600000})", "slept\n");
      job.options.run_timeout_ms = kOverrunMs;
      break;
    case Content::kStubborn:
      words("debug.ignore_cancel", R"({"ms":600000})", "ignored\n");
      job.options.run_timeout_ms = kOverrunMs;
      break;
    case Content::kHurried:
      words("debug.sleep", R"({"ms":5})", "slept\n");
      job.options.deadline_ms = 10 + random() % 100;
      break;
    case Content::kStream: {
      const std::size_t bytes = 10 * random_size(random);
      words("debug.produce", fmt::format(R"({{"bytes":{},"piece_bytes":20000}})", bytes), produced(bytes));
      planned.streamed = std::make_shared<std::string>();
      job.on_bytes = [streamed = planned.streamed, whole = planned.answer.front()](std::span<const std::byte> piece) {
        *streamed += ipc::as_text(piece);
        if (!whole.starts_with(*streamed)) std::abort();  // nothing its job has made, or twice
      };
      break;
    }
    case Content::kReserve:
      words("debug.reserve",
            fmt::format(R"({{"bytes":{},"ms":{},"then_bytes":[0,{}]}})", random() % kChaosBudgetBytes, random() % 5,
                        random() % kChaosBudgetBytes),
            "reserved\n");
      break;
    case Content::kCancelled: words("debug.sleep", R"({"ms":200})", "slept\n"); break;
  }
  job.options.priority = static_cast<std::uint8_t>(random() % 10);
  if (unique) {
    if (job.params_json.empty()) job.params_json = "{}";
    job.params_json += blank(seed) + blank(number);
  }
  return planned;
}

bool is_right(const Planned& planned, const client::JobResult& result) {
  if (planned.says_attempt) {
    return result.parts.size() == 1 &&
           result.parts[0].text() == fmt::format("survived attempt {}\n", result.info.attempts);
  }
  if (planned.streamed) {
    return result.parts.size() == 1 && result.parts[0].elsewhere_bytes() == planned.streamed->size() &&
           *planned.streamed == planned.answer.front();
  }
  return std::ranges::equal(result.parts, planned.answer,
                            [](const auto& part, const std::string& bytes) { return part.text() == bytes; });
}

class ChaosClient {
 public:
  explicit ChaosClient(ChaosClientOptions options)
      : options_(std::move(options)),
        random_(options_.seed),
        client_({.socket_path = options_.socket_path,
                 .name = fmt::format("chaos {}", options_.seed),
                 .reconnect_for = 5s}) {}

  int run() {
    const auto end = Clock::now() + options_.time;
    std::unique_lock lock(mutex_);
    for (;;) {
      const bool sending = Clock::now() < end;
      if (!sending && again_.empty() && in_flight_ == 0) break;
      if (Clock::now() > end + kLastAnswerMax) break;  // the ledger says what is missing
      if (in_flight_ < kInFlightMax && Clock::now() >= not_before_ && (sending || !again_.empty())) {
        std::uint64_t number = next_;
        if (again_.empty()) {
          ++next_;
        } else {
          number = again_.front();
          again_.pop_front();
        }
        lock.unlock();
        send(number);
        lock.lock();
        continue;
      }
      changed_.wait_until(lock, Clock::now() < not_before_ ? not_before_ : Clock::now() + 100ms);
    }
    lock.unlock();
    if (!client_.ping(kLastAnswerMax)) return 3;  // what the server had to say before is here
    return write() ? 0 : 4;
  }

 private:
  void send(std::uint64_t number) {
    auto planned = std::make_shared<Planned>(plan(options_.seed, number, options_.unique));
    std::size_t at = 0;
    {
      const std::lock_guard lock(mutex_);
      at = entries_.size();
      entries_.push_back({.content_number = number, .content = planned->content});
      ++in_flight_;
    }
    Job job = planned->job;
    const std::uint64_t request = client_.submit(std::move(job), [this, at, planned](Result<client::JobResult> result) {
      note(at, *planned, std::move(result));
    });
    if (planned->content != Content::kCancelled) return;
    cancelled_.push_back(request);
    if (random_() % 2 == 0) return client_.cancel(request);  // often before it has begun
    if (cancelled_.size() > 2) {  // and the others at some later time; some have ended by then
      client_.cancel(cancelled_.front());
      cancelled_.pop_front();
    }
  }

  void note(std::size_t at, const Planned& planned, Result<client::JobResult> result) {
    const bool right = result ? is_right(planned, *result) : result.error().message == planned.failure;
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[at];
    if (++entry.answers == 1) --in_flight_;
    entry.succeeded = result.has_value();
    entry.right = right;
    if (result) {
      entry.job_id = result->info.job_id;
      entry.attempts = result->info.attempts;
    } else {
      const Error& error = result.error();
      entry.code = error.code;
      entry.cause = error.cause;
      entry.job_id = error.job_id;
      if (error.code == ErrorCode::kUnavailable) {
        again_.push_back(entry.content_number);
        not_before_ = Clock::now() + std::max(kRefusedPause, std::chrono::milliseconds(error.retry_after_ms));
      }
      if (!right && !explained(entry)) fmt::print(stderr, "{}: {}\n", planned.job.kind, to_string(error));
    }
    changed_.notify_one();
  }

  // One line a request; the last line says that it is all.
  [[nodiscard]] bool write() const {
    std::ofstream file(options_.ledger_path);
    for (const Entry& entry : entries_) {
      file << entry.content_number << ' ' << static_cast<int>(entry.content) << ' ' << entry.answers << ' '
           << entry.succeeded << ' ' << entry.right << ' ' << static_cast<int>(entry.code) << ' '
           << static_cast<int>(entry.cause.kind) << ' ' << entry.cause.detail << ' ' << entry.job_id << ' '
           << entry.attempts << '\n';
    }
    file << "end\n";
    return file.flush().good();
  }

  ChaosClientOptions options_;
  std::mt19937_64 random_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> entries_;
  std::deque<std::uint64_t> again_;      // content numbers that were refused
  std::deque<std::uint64_t> cancelled_;  // request numbers that shall be
  std::uint64_t next_ = 1;
  std::size_t in_flight_ = 0;
  Clock::time_point not_before_{};
  client::Client client_;  // last: its destructor ends the handlers
};

}  // namespace

bool explained(const Entry& failed) {
  const Content content = failed.content;
  switch (failed.code) {
    case ErrorCode::kBadInput: return content == Content::kFail && failed.right;
    case ErrorCode::kUnavailable: return true;  // drained, or between the starts of a crash loop
    case ErrorCode::kWorkerCrashed:             // killed on every attempt
      if (failed.cause == Cause{CauseKind::kSignaled, SIGKILL}) return true;
      if (content == Content::kCrash) return failed.cause == Cause{CauseKind::kSignaled, SIGSEGV};
      return content == Content::kExit && failed.cause == Cause{CauseKind::kExited, 7};
    case ErrorCode::kTimeout:  // any job's worker may be stopped for longer than its run timeout
      return failed.cause.kind == CauseKind::kRunTimeout ||
             (failed.cause.kind == CauseKind::kDeadline && content == Content::kHurried);
    case ErrorCode::kCancelled:
      return failed.cause.kind == CauseKind::kCancelledByClient && content == Content::kCancelled;
    default: return false;
  }
}

Ledger read_ledger(const std::string& path) {
  Ledger ledger;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line == "end") ledger.complete = true;
    std::istringstream words(line);
    Entry entry;
    int content = 0;
    int code = 0;
    int cause = 0;
    if (words >> entry.content_number >> content >> entry.answers >> entry.succeeded >> entry.right >> code >> cause >>
        entry.cause.detail >> entry.job_id >> entry.attempts) {
      entry.content = static_cast<Content>(content);
      entry.code = static_cast<ErrorCode>(code);
      entry.cause.kind = static_cast<CauseKind>(cause);
      ledger.entries.push_back(entry);
    }
  }
  return ledger;
}

std::vector<std::string> chaos_client_command(const ChaosClientOptions& options) {
  return {"/proc/self/exe",
          kFlag,
          options.socket_path,
          options.ledger_path,
          std::to_string(options.seed),
          std::to_string(options.time.count()),
          options.unique ? "unique" : "alike"};
}

int run_as_chaos_client(int argc, char** argv) {
  if (argc != 7 || std::string_view(argv[1]) != kFlag) return -1;
  if (sodium_init() < 0) return 2;
  return ChaosClient({.socket_path = argv[2],
                      .ledger_path = argv[3],
                      .seed = std::strtoull(argv[4], nullptr, 10),
                      .time = std::chrono::milliseconds(std::strtoll(argv[5], nullptr, 10)),
                      .unique = std::string_view(argv[6]) == "unique"})
      .run();
}

}  // namespace quern::test
