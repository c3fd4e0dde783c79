// Large and shared buffers, beside what the kernel takes at least and what others take, interleaved in one run.
// README.md says what.
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/interprocess/anonymous_shared_memory.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "bench/peer_process.h"
#include "bench/report.h"
#include "bench/server.h"
#include "client/client.h"
#include "ipc/fd_passing.h"
#include "ipc/memfd.h"

namespace {

using namespace quern;
using bench::Clock;
using bench::Contender;
using bench::ms_since;
using bench::PeerProcess;
using bench::race;

constexpr std::size_t kBytes = 100U << 20;
constexpr std::size_t kPageBytes = 4096;
constexpr int kRounds = 15;

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(to_string(result.error()));
  return std::move(*result);
}

// ---- 100 MB there and back -----------------------------------------------------------------------------

std::uint64_t touch(int fd) {
  auto* bytes = static_cast<unsigned char*>(::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0));
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < kBytes; at += kPageBytes) sum += bytes[at];
  ::munmap(bytes, kBytes);
  return sum;
}

// Takes descriptors and gives them back: the least that two processes can do.
void echo_descriptors(int socket, bool touched) {
  std::byte byte{};
  std::vector<unique_fd> fds;
  while (ipc::receive_with_fds(socket, {&byte, 1}, fds) && !fds.empty()) {
    if (touched) byte = static_cast<std::byte>(touch(fds.front().get()));
    const int back[] = {fds.front().get()};
    (void)ipc::send_with_fds(socket, {&byte, 1}, back);
    fds.clear();
  }
}

double pass_descriptor(const PeerProcess& peer, int memfd) {
  const auto start = Clock::now();
  const std::byte byte{};
  const int there[] = {memfd};
  (void)ipc::send_with_fds(peer.socket(), {&byte, 1}, there);
  std::byte answer{};
  std::vector<unique_fd> back;
  (void)ipc::receive_with_fds(peer.socket(), {&answer, 1}, back);
  return ms_since(start);
}

// What takes less than a millisecond is done so often in each round, or it would measure how cold the caches are that
// the copying ones before it have left.
constexpr int kTripsARound = 50;
std::optional<double> median_trip(const std::function<std::optional<double>()>& trip) {
  std::vector<double> trips;
  for (int i = 0; i < kTripsARound; ++i) {
    const auto took = trip();
    if (!took) return std::nullopt;
    trips.push_back(*took);
  }
  return bench::percentile(trips, 0.5);
}

// The buffer goes there and comes back, again and again.
class QuernTrips {
 public:
  QuernTrips(const bench::BenchServer& server, std::string params)
      : client_({.socket_path = server.socket_path()}),
        params_(std::move(params)),
        part_(client::Part::transfer(filled())) {}

  static client::Buffer filled() {
    auto buffer = must(client::Buffer::allocate(kBytes));
    std::ranges::fill(buffer.bytes(), std::byte{7});
    return buffer;
  }
  double trip() {
    const auto start = Clock::now();
    auto result = must(client_.run({.kind = "debug.echo", .params_json = params_, .parts = {std::move(part_)}}));
    const double took = ms_since(start);
    part_ = std::move(result.parts.at(0)).hand_on();
    return took;
  }
  // A buffer that was just filled: unmapped and sealed first, as every handing over is once.
  double fresh_trip() {
    auto buffer = filled();
    const auto start = Clock::now();
    auto result = must(client_.run(
        {.kind = "debug.echo", .params_json = params_, .parts = {client::Part::transfer(std::move(buffer))}}));
    return ms_since(start);
  }

 private:
  client::Client client_;
  std::string params_;
  client::Part part_;
};

// Two regions and two semaphores, as in the library's examples; both sides copy in and out.
class CopyingPeer {
 public:
  CopyingPeer()
      : control_(boost::interprocess::anonymous_shared_memory(sizeof(Control))), there_(region()), back_(region()) {
    ::new (control_.get_address()) Control;
    peer_ = std::make_unique<PeerProcess>([this](int) {
      std::vector<std::byte> own(kBytes);
      for (;;) {
        control().asked.wait();
        std::memcpy(own.data(), there_.get_address(), kBytes);
        std::memcpy(back_.get_address(), own.data(), kBytes);
        control().answered.post();
      }
    });
  }
  double trip() {
    const auto start = Clock::now();
    std::memcpy(there_.get_address(), ours_.data(), kBytes);
    control().asked.post();
    control().answered.wait();
    std::memcpy(ours_.data(), back_.get_address(), kBytes);
    return ms_since(start);
  }

 private:
  struct Control {
    boost::interprocess::interprocess_semaphore asked{0};
    boost::interprocess::interprocess_semaphore answered{0};
  };
  static boost::interprocess::mapped_region region() {
    return boost::interprocess::mapped_region(boost::interprocess::anonymous_shared_memory(kBytes));
  }
  Control& control() { return *static_cast<Control*>(control_.get_address()); }

  boost::interprocess::mapped_region control_;
  boost::interprocess::mapped_region there_;
  boost::interprocess::mapped_region back_;
  std::vector<std::byte> ours_ = std::vector<std::byte>(kBytes, std::byte{7});
  std::unique_ptr<PeerProcess> peer_;
};

void bench_there_and_back(const bench::BenchServer& server, const PeerProcess& node) {
  const PeerProcess passer([](int socket) { echo_descriptors(socket, false); });
  const PeerProcess toucher([](int socket) { echo_descriptors(socket, true); });
  CopyingPeer copier;
  QuernTrips quern(server, "");
  QuernTrips touching(server, R"({"touch":true})");
  const unique_fd memfd = must(QuernTrips::filled().hand_over());
  std::vector<Contender> handed{
      {"a bare memfd's descriptor, process to process and back",
       [&] { return median_trip([&] { return pass_descriptor(passer, memfd.get()); }); }},
      {"quern: handed over, and handed back", [&] { return median_trip([&] { return quern.trip(); }); }},
      {"quern: the same of a buffer just filled (unmap and seal)", [&] { return quern.fresh_trip(); }},
      {"Node: transferable ArrayBuffer to a worker thread",
       [&] { return median_trip([&] { return node.ask("transfer"); }); }},
      {"Node: structured clone", [&] { return node.ask("clone"); }},
      {"Boost.Interprocess, copied in and out", [&] { return std::optional(copier.trip()); }}};
  std::vector<Contender> touched{{"a bare memfd, every page looked at by the other process",
                                  [&] { return pass_descriptor(toucher, memfd.get()); }},
                                 {"quern: every page looked at by the worker", [&] { return touching.trip(); }}};
  race(handed, 2);  // warm
  for (Contender& each : handed) each.samples.clear();
  race(handed, kRounds);
  race(touched, 2 * kRounds);
  fmt::print("100 MB there and back ({} rounds, interleaved, medians)\n", kRounds);
  print(handed, "ms");
  fmt::print("the same, touched\n");
  print(touched, "ms");
}

// ---- Through the socket --------------------------------------------------------------------------------

// Sends and receives at once, as who talks to `cat` has to.
void send_and_receive(int socket, ipc::ByteSpan there, std::span<std::byte> back) {
  while (!there.empty() || !back.empty()) {
    pollfd ready{.fd = socket,
                 .events = static_cast<short>((there.empty() ? 0 : POLLOUT) | (back.empty() ? 0 : POLLIN)),
                 .revents = 0};
    ::poll(&ready, 1, -1);
    if ((ready.revents & POLLOUT) != 0) {
      const ssize_t n = ::send(socket, there.data(), there.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) there = there.subspan(static_cast<std::size_t>(n));
    }
    if ((ready.revents & (POLLIN | POLLHUP)) != 0) {
      const ssize_t n = ::recv(socket, back.data(), back.size(), MSG_DONTWAIT);
      if (n == 0) throw std::runtime_error("the other side closed the socket");
      if (n > 0) back = back.subspan(static_cast<std::size_t>(n));
    }
  }
}

void bench_socket(const bench::BenchServer& server) {
  const PeerProcess cat(std::vector<std::string>{"cat"});
  for (const std::size_t bytes : {std::size_t{1} << 20, std::size_t{10} << 20, kBytes}) {
    std::vector<std::byte> there(bytes, std::byte{7});
    std::vector<std::byte> back(bytes);
    bench::PlainClient plain(server.socket_path());
    client::Client library({.socket_path = server.socket_path()});
    const auto rate = [&](double ms) { return static_cast<double>(bytes) / 1e6 / ms; };
    std::vector<Contender> contenders{
        {"cat",
         [&] {
           const auto start = Clock::now();
           send_and_receive(cat.socket(), there, back);
           return rate(ms_since(start));
         }},
        {"quern, all of it inline, both ways",
         [&] {
           const auto start = Clock::now();
           plain.echo(there, back);
           return rate(ms_since(start));
         }},
        {"quern, client library: copied into a memfd, streamed back",
         [&] {
           const auto start = Clock::now();
           std::span<std::byte> room = back;
           client::Job job{.kind = "debug.echo", .parts = {client::Part::copy(there)}};
           job.on_bytes = [&](std::span<const std::byte> piece) {
             std::ranges::copy(piece, room.begin());
             room = room.subspan(piece.size());
           };
           (void)must(library.run(std::move(job)));
           return rate(ms_since(start));
         }},
        {"quern, client library: copied into a memfd, back by one", [&] {
           const auto start = Clock::now();
           const auto result = must(library.run({.kind = "debug.echo", .parts = {client::Part::copy(there)}}));
           const auto bytes_back = result.parts.at(0).bytes();
           std::memcpy(back.data(), bytes_back.data(), bytes_back.size());
           return rate(ms_since(start));
         }}};
    race(contenders, kRounds);
    fmt::print("{} MB through a Unix socket and back\n", bytes >> 20);
    print(contenders, "GB/s", bench::Better::kMore);
  }
}

// ---- Where a part's bytes go ---------------------------------------------------------------------------
//
// Inside the frame (and from there through the arena, as far as it fits an extent), or in a memfd: where one
// becomes cheaper than the other is client::kInlineBytesMax.

void bench_places(const bench::BenchServer& server) {
  constexpr int kTrips = 500;
  for (std::size_t kib = 4; kib <= 1024; kib *= 2) {
    const std::vector<std::byte> there(kib << 10, std::byte{7});
    std::vector<std::byte> back(there.size());
    bench::PlainClient plain(server.socket_path());
    const auto us = [](Clock::time_point start) { return 1000 * ms_since(start); };
    std::vector<Contender> contenders{{"in the frame",
                                       [&] {
                                         const auto start = Clock::now();
                                         plain.echo(there, back);
                                         return us(start);
                                       }},
                                      {"in a memfd, made for it and sealed", [&] {
                                         const auto start = Clock::now();
                                         plain.echo_by_memfd(there, back);
                                         return us(start);
                                       }}};
    race(contenders, kTrips);
    fmt::print("{} KiB there, and back in the frame ({} trips, interleaved, medians)\n", kib, kTrips);
    print(contenders, "us");
  }
}

// ---- Taking turns --------------------------------------------------------------------------------------

constexpr std::uint32_t kTurns = 2000;

// One side's part of kTurns rounds; the median in microseconds.
double ping(const AtomicView<std::uint32_t>& words) {
  std::vector<double> trips;
  for (std::uint32_t round = 1; round <= kTurns; ++round) {
    const auto start = Clock::now();
    words[0].store(round);
    words.notify_one(0);
    while (words[1].load() != round) (void)words.wait(1, round - 1, std::chrono::seconds(10));
    trips.push_back(ms_since(start) * 1e3);
  }
  return bench::percentile(trips, 0.5);
}

double bare_ping_pong() {
  const boost::interprocess::mapped_region memory(boost::interprocess::anonymous_shared_memory(kPageBytes));
  const SharedView view({static_cast<std::byte*>(memory.get_address()), kPageBytes});
  const auto words = view.as<std::uint32_t>();
  const PeerProcess other([&](int) {
    for (std::uint32_t seen = 0; seen < kTurns;) {
      (void)words.wait(0, seen, std::chrono::seconds(10));
      seen = words[0].load();
      words[1].store(seen);
      words.notify_one(1);
    }
  });
  return ping(words);
}

double quern_ping_pong(client::Client& client) {
  const auto buffer = must(client.create_shared({.bytes = kPageBytes}));
  client::Job job{.kind = "debug.pong", .params_json = fmt::format(R"({{"rounds":{}}})", kTurns)};
  job.options.shared_buffers = {buffer.id()};
  auto playing = client.submit(std::move(job));
  const double median = ping(buffer.as<std::uint32_t>());
  (void)must(playing.get());
  return median;
}

void bench_taking_turns(const bench::BenchServer& server, const PeerProcess& node) {
  client::Client client({.socket_path = server.socket_path()});
  std::vector<Contender> contenders{
      {"bare futex, two processes", [] { return bare_ping_pong(); }},
      {"quern: client and worker in a SharedBuffer", [&] { return quern_ping_pong(client); }},
      {"Node: Atomics.wait and notify, two threads", [&] { return node.ask(fmt::format("pingpong {}", kTurns)); }}};
  race(contenders, kRounds);
  fmt::print("a word changed there and back ({} rounds of {}, interleaved, medians)\n", kRounds, kTurns);
  print(contenders, "us");
}

}  // namespace

int main() {
  bench::print_machine();
  const bench::BenchServer server("[pools.debug]\nmodules = ['debug']\nworkers = 1\n");
  const PeerProcess node(std::vector<std::string>{"node", QUERN_PEERS "/buffers.js"});
  bench_there_and_back(server, node);
  bench_socket(server);
  bench_places(server);
  bench_taking_turns(server, node);
}
