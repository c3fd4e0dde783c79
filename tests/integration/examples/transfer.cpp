// Fills 100 MB, hands it to a worker, and gets it back.
#include <algorithm>
#include <cstdio>

#include "client/client.h"

using quern::client::Buffer;
using quern::client::Client;
using quern::client::Part;

int main() {
  Client client;

  auto buffer = Buffer::allocate(100'000'000);
  if (!buffer) return std::fprintf(stderr, "%s\n", to_string(buffer.error()).c_str()), 1;
  std::ranges::fill(buffer->bytes(), std::byte{7});

  // From here on the memory is the job's: it is sealed, and the buffer is spent.
  auto result = client.run({.kind = "debug.echo", .parts = {Part::transfer(std::move(*buffer))}});
  if (!result) return std::fprintf(stderr, "%s\n", to_string(result.error()).c_str()), 1;

  // The very same memory, to look at, or to hand on to the next job.
  std::printf("%zu bytes came back, %llu were copied\n", result->parts[0].bytes().size(),
              static_cast<unsigned long long>(client.stats().copied_bytes));
  auto again = client.run({.kind = "debug.echo", .parts = {std::move(result->parts[0]).hand_on()}});
  return again ? 0 : 1;
}
