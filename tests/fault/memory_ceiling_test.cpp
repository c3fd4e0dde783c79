// The ceilings that `quern status` computes from the configuration hold under the worst that clients can do:
// many of them, slow, with huge frames, with full queues and answers that nobody takes.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <boost/json/object.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/sanitizer.h"
#include "tests/integration/raw_client.h"
#include "tests/integration/server.h"

namespace quern::test {
namespace {

// The most that the supervisor ever occupied.
std::uint64_t peak_bytes(const Server& server) {
  std::ifstream status("/proc/" + std::to_string(server.pid()) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  ADD_FAILURE() << "no VmHWM";
  return 0;
}

// What the memfds of large bodies occupy that the supervisor holds now.
std::uint64_t bodies_bytes(const Server& server) {
  std::uint64_t total = 0;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(server.pid()) + "/fd", gone)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    struct stat info {};
    if (target.starts_with("/memfd:quern-job-body") && ::stat(entry.path().c_str(), &info) == 0) {
      total += static_cast<std::uint64_t>(info.st_blocks) * 512;
    }
  }
  return total;
}

constexpr const char* kConfig = R"(
[limits]
clients_max = 200
client_jobs_max = 500
frame_bytes_max = "4MiB"
receive_bytes_max = "16MiB"
answers_bytes_max = "8MiB"
frame_timeout_ms = 2000
quarantine_bytes_max = 0
[pools.debug]
modules = ["debug"]
workers = 2
queue_jobs_max = 1000
queue_bytes_max = "16MiB"
)";

TEST(MemoryCeiling, HoldsUnderAFloodOfSlowClientsWithHugePayloads) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is its own";
  const Server server(kConfig);
  const auto ceiling = server.status().at("memory").at("ceiling_bytes").to_number<std::uint64_t>();
  const auto bodies_ceiling = server.status().at("memory").at("bodies_ceiling_bytes").to_number<std::uint64_t>();
  const std::uint64_t before = peak_bytes(server);
  constexpr int kClients = 190;
  std::vector<std::unique_ptr<RawClient>> crowd;
  for (int i = 0; i < kClients; ++i) {
    crowd.push_back(std::make_unique<RawClient>(server));
    crowd.back()->greet();
    crowd.back()->send_for_at_most(500ms);
  }
  const std::string half(3U << 20, 'h');
  const std::string small(30'000, 's');
  const std::string large((4U << 20) - 4096, 'l');
  const auto attack = [&](int i) {
    RawClient& client = *crowd[static_cast<std::size_t>(i)];
    if (i % 3 == 0) {  // a huge frame that never comes whole
      wire::Buffer out;
      wire::ByteWriter writer(out);
      wire::encode_header(writer, {.body_bytes = 4U << 20, .type = wire::FrameType::kSubmit, .request_id = 1});
      wire::encode_submit_head(writer, "debug.echo", {});
      client.send(out);
      client.send_text(half);
    } else if (i % 3 == 1) {  // many jobs whose answers nobody reads
      const wire::Part part{.bytes = small.size(), .data = ipc::as_bytes(small)};
      bool taken = true;
      for (std::uint64_t id = 1; id < 400 && taken; ++id) taken = client.submit(id, "debug.echo", "", {&part, 1});
    } else {  // whole large frames, for a queue that is full
      const wire::Part part{.bytes = large.size(), .data = ipc::as_bytes(large)};
      bool taken = true;
      for (std::uint64_t id = 1; id < 10 && taken; ++id) {
        taken = client.submit(id, "debug.sleep", R"({"ms":10})", {&part, 1});
      }
    }
  };
  std::vector<std::thread> attackers;
  for (int i = 0; i < kClients; ++i) attackers.emplace_back(attack, i);
  std::atomic<bool> over = false;
  std::uint64_t bodies_peak = 0;
  std::thread watcher([&] {
    for (; !over; std::this_thread::sleep_for(2ms)) bodies_peak = std::max(bodies_peak, bodies_bytes(server));
  });
  for (std::thread& attacker : attackers) attacker.join();
  EXPECT_TRUE(eventually([&] { return server.pool().at("accepted").to_number<int>() > 500; }));
  over = true;
  watcher.join();
  const std::uint64_t peak = peak_bytes(server);
  std::printf("memory ceiling: %.1f MiB before, %.1f MiB at most, ceiling %.1f MiB\n",
              static_cast<double>(before) / (1 << 20), static_cast<double>(peak) / (1 << 20),
              static_cast<double>(ceiling) / (1 << 20));
  std::printf("large bodies: %.1f MiB at most, ceiling %.1f MiB\n", static_cast<double>(bodies_peak) / (1 << 20),
              static_cast<double>(bodies_ceiling) / (1 << 20));
  EXPECT_LE(peak, ceiling);
  EXPECT_LE(bodies_peak, bodies_ceiling);
  EXPECT_GT(bodies_peak, 8U << 20) << "the huge frames arrived, as many as fit the budget";
  EXPECT_GT(peak, before + (16U << 20)) << "the flood arrived";
  crowd.clear();
  EXPECT_TRUE(eventually([&] { return server.pool().at("queued").to_number<int>() == 0; }, 30s));
}

}  // namespace
}  // namespace quern::test
