// A worker adds to a word that this process waits for.
#include <chrono>
#include <cstdint>
#include <cstdio>

#include "client/client.h"

using namespace std::chrono_literals;
using quern::WaitResult;
using quern::client::Client;

int main() {
  Client client;

  auto buffer = client.create_shared({.bytes = 1024});
  if (!buffer) return std::fprintf(stderr, "%s\n", to_string(buffer.error()).c_str()), 1;
  const auto words = buffer->as<std::uint32_t>();

  // shared.add does, in the worker: words[0].fetch_add(12); words.notify_all(0);
  auto job = client.submit({.kind = "shared.add",
                            .params_json = R"({"index": 0, "add": 12})",
                            .options = {.shared_buffers = {buffer->id()}}});

  if (words.wait(0, 0, 10s) == WaitResult::kTimedOut) return std::fprintf(stderr, "nobody has added\n"), 1;
  std::printf("the word is %u\n", words[0].load());

  const auto result = job.get();
  if (!result) return std::fprintf(stderr, "%s\n", to_string(result.error()).c_str()), 1;
  std::printf("it was %s", std::string(result->parts[0].text()).c_str());
}
