// Takes a long result as it is made: at no time is all of it in memory.
#include <cstdint>
#include <cstdio>

#include "client/client.h"

using quern::client::Client;
using quern::client::Job;

int main() {
  Client client;

  std::uint64_t bytes = 0;
  Job job{.kind = "debug.produce", .params_json = R"({"bytes":100000000})"};
  job.on_progress = [](const quern::wire::Progress& progress) {
    std::fprintf(stderr, "%llu of %llu %s\n", static_cast<unsigned long long>(progress.done),
                 static_cast<unsigned long long>(progress.total), progress.message.c_str());
  };
  job.on_bytes = [&](std::span<const std::byte> piece) { bytes += piece.size(); };  // or write it somewhere

  const auto result = client.run(std::move(job));
  if (!result) return std::fprintf(stderr, "%s\n", to_string(result.error()).c_str()), 1;
  std::printf("%llu bytes came\n", static_cast<unsigned long long>(bytes));
  return 0;
}
