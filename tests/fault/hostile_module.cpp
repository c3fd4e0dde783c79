// A job module that has been taken over: hostile.scribble does to its supervisor whatever the sandbox lets
// it. It knows Quern's own headers, as an attacker would.
//
// What it does follows from `seed` and `mode` alone. It needs one input part, small enough to lie in the
// channel: that is how it finds the channel.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/bytes.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "ipc/memfd.h"
#include "ipc/reservation.h"
#include "ipc/wire.h"
#include "worker/sdk/job.h"

namespace {

namespace sdk = quern::sdk;
namespace ipc = quern::ipc;
using quern::unique_fd;

// ---- Where it is -----------------------------------------------------------------------------------

struct Place {
  ipc::ChannelHeader* header = nullptr;
  ipc::Geometry geometry{};
};

// The channel begins at the first page before `inside` that begins with the magic number. Kept from the
// first job on: the next ones find what that one has left of the header.
const Place& find_channel(const std::byte* inside) {
  static Place found;
  auto page = reinterpret_cast<std::uintptr_t>(inside) & ~std::uintptr_t{ipc::kPageBytes - 1};
  unsigned char resident = 0;
  while (found.header == nullptr && ::mincore(reinterpret_cast<void*>(page), ipc::kPageBytes, &resident) == 0) {
    auto* header = reinterpret_cast<ipc::ChannelHeader*>(page);
    if (header->magic == ipc::kChannelMagic) {
      found = {header, {header->slots, header->input_extent_bytes, header->output_extent_bytes}};
    }
    page -= ipc::kPageBytes;
  }
  return found;
}

struct Descriptors {
  int control = -1;
  int eventfd = -1;
};

Descriptors find_descriptors() {
  Descriptors found;
  for (int fd = 3; fd < 64; ++fd) {
    struct stat about {};
    if (::fstat(fd, &about) != 0) continue;
    if (S_ISSOCK(about.st_mode)) found.control = fd;
    if ((about.st_mode & S_IFMT) == 0) found.eventfd = fd;  // an anonymous inode has no type
  }
  return found;
}

// ---- What it does ----------------------------------------------------------------------------------

class Attack {
 public:
  Attack(std::uint64_t seed, const Place& channel)
      : random_(seed),
        header_(*channel.header),
        geometry_(channel.geometry),
        fds_(find_descriptors()),
        position_(header_.completion_tail.load()) {}  // positions are answered in order: it is this job's

  void words() { scribble(0, sizeof header_, upto(200)); }
  void descriptors() { scribble(geometry_.descriptors_offset(), geometry_.completions_offset(), upto(200)); }
  void completions() { scribble(geometry_.completions_offset(), geometry_.result_parts_offset(), upto(200)); }
  void result_parts() { scribble(geometry_.result_parts_offset(), geometry_.inputs_offset(), upto(200)); }
  void channel() {
    std::byte* all = at(0);
    for (std::uint64_t i = 0; i < geometry_.total_bytes(); i += sizeof(std::uint64_t)) {
      const std::uint64_t word = random_();
      std::memcpy(all + i, &word, sizeof word);
    }
  }

  // Says that positions are complete which are not, do not exist, or were complete before.
  void tail() {
    const std::uint64_t now = header_.completion_tail.load();
    const std::array<std::uint64_t, 6> lies{now + 1, now + 2, now - 1, now + geometry_.slots + upto(9), 0, random_()};
    for (std::uint64_t times = 1 + upto(4); times > 0; --times) {
      header_.completion_tail.store(lies[upto(lies.size())]);
      ring();
    }
  }

  // A completion of this job that is wrong in some way, with what it refers to, and told at once.
  void forge() {
    send_result_fds();
    ipc::ResultPart* parts = &reinterpret_cast<ipc::ResultPart*>(at(geometry_.result_parts_offset()))[slot() * 64];
    for (std::size_t i = 0; i < ipc::kResultPartsMax; ++i) parts[i] = forged_part();
    auto* error = at(geometry_.outputs_offset() + slot() * std::uint64_t{geometry_.output_extent_bytes});
    for (std::size_t i = 0; i < 64; ++i) error[i] = static_cast<std::byte>(random_());
    auto& completion = reinterpret_cast<ipc::Completion*>(at(geometry_.completions_offset()))[slot()];
    if (chance(3)) return tell_an_error(completion, error);
    completion.position = chance(8) ? random_() : position_;
    completion.outcome = static_cast<std::uint32_t>(chance(8) ? random_() : upto(3));
    completion.parts = static_cast<std::uint32_t>(chance(8) ? random_() : upto(4));
    completion.fd_count = static_cast<std::uint32_t>(chance(8) ? random_() : upto(3));
    completion.error_bytes = static_cast<std::uint32_t>(chance(8) ? random_() : upto(4096));
    completion.run_ns = random_();
    header_.completion_tail.store(position_ + 1);
    ring();
  }

  // Packets of any type with any descriptors, as many as the socket takes.
  void messages() {
    for (std::uint64_t count = 1 + upto(200); count > 0; --count) {
      std::vector<std::byte> body(chance(4) ? upto(ipc::kControlBodyBytesMax) : upto(64));
      send({.type = static_cast<ipc::ControlType>(upto(10)),
            .value = static_cast<std::int32_t>(random_()),
            .id = chance(2) ? position_ : random_()},
           body, some_fds(chance(4) ? 128 : upto(4)));
    }
  }

  // As many descriptors on their way as the kernel lets one user have.
  void descriptor_flood() {
    const unique_fd file = memfd(1);
    const ipc::ControlHeader header{.type = ipc::ControlType::kResultFds, .id = position_};
    iovec iov{.iov_base = const_cast<ipc::ControlHeader*>(&header), .iov_len = sizeof header};
    constexpr std::size_t kMost = 253;  // the kernel's bound for one message
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kMost)> control{};
    msghdr message{};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * kMost);
    const std::vector<int> many(kMost, file.get());
    std::memcpy(CMSG_DATA(rights), many.data(), sizeof(int) * kMost);
    while (::sendmsg(fds_.control, &message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    pause_ms(20);  // for others to feel it
  }

  // Says of the stream ring what can't be, and changes what it says while it is read.
  void stream() {
    for (std::uint64_t times = 1 + upto(200); times > 0; --times) {
      const std::uint64_t produced = header_.stream_produced.load();
      const std::array<std::uint64_t, 8> lies{produced + 1,
                                              produced + upto(ipc::kStreamBytes),
                                              produced + upto(ipc::kStreamBytes),
                                              header_.stream_consumed.load() + ipc::kStreamBytes,
                                              header_.stream_consumed.load() + ipc::kStreamBytes + 1,
                                              produced - 1,
                                              0,
                                              random_()};
      header_.stream_position.store(chance(4) ? random_() : position_);
      header_.stream_produced.store(lies[upto(chance(8) ? lies.size() : 4)]);
      if (chance(4)) header_.stream_waiting.store(static_cast<std::uint32_t>(random_()));
      if (chance(4)) header_.stream_consumed.store(random_());
      ring();
      scribble(geometry_.stream_offset(), geometry_.total_bytes(), upto(20));
    }
  }

  // Asks for memory that there is not, or as another job, or while it waits, or gives back what it does not have.
  void memory() {
    for (std::uint64_t times = 1 + upto(200); times > 0; --times) {
      const std::uint64_t budget = ipc::pages_of(header_.memory_budget_bytes);
      const std::array<std::uint64_t, 6> pages{budget, upto(budget), upto(budget), budget + 1, 0, random_()};
      const ipc::MemoryWord word{.pages = static_cast<std::uint32_t>(pages[upto(pages.size())]),
                                 .position = static_cast<std::uint16_t>(chance(16) ? random_() : position_),
                                 .number = static_cast<std::uint16_t>(random_())};
      header_.memory_wanted.store(word.packed());
      if (chance(4)) header_.memory_granted.store(random_());
      if (chance(4)) header_.memory_waiting.store(static_cast<std::uint32_t>(random_()));
      if (chance(2)) ring();
      if (chance(8)) pause_ms(1);  // to be looked at
    }
  }

  void doorbell() {
    const std::uint64_t full = UINT64_MAX - 1;
    if (chance(2)) (void)write_doorbell(full);
    for (std::uint64_t count = upto(20'000); count > 0; --count) (void)write_doorbell(1 + upto(3));
    std::uint64_t taken = 0;
    if (chance(2)) (void)::read(fds_.eventfd, &taken, sizeof taken);
  }

  // Completions and their opposite, as fast as it can.
  void flicker() {
    for (std::uint64_t count = upto(200'000); count > 0; --count) {
      header_.completion_tail.store(position_ + (count & 1));
      header_.supervisor_sleeping.store(static_cast<std::uint32_t>(count & 1));
    }
    header_.completion_tail.store(position_);
    ring();
  }

  void hang_up() {
    if (chance(2)) ::close(fds_.control);
    if (chance(2)) ::close(fds_.eventfd);
  }

  void deaf() { ::close(fds_.control); }

  // Answers whatever is published, at once and with nothing, and receives no job's descriptors.
  void usurp() {
    std::uint64_t next = position_;
    for (;;) {
      if (header_.submission_tail.load() == next) continue;
      auto& completion = reinterpret_cast<ipc::Completion*>(at(geometry_.completions_offset()))[next % geometry_.slots];
      completion = {};
      completion.position = next;
      completion.outcome = static_cast<std::uint32_t>(ipc::Outcome::kResult);
      header_.completion_tail.store(++next);
      ring();
    }
  }

  // Its client's output file as a part of its result: whoever closes it waits for its file system.
  void hand_back() {
    const int file = output_file();
    send({.type = ipc::ControlType::kResultFds, .id = position_}, {}, std::span(&file, 1));
    auto& part = reinterpret_cast<ipc::ResultPart*>(at(geometry_.result_parts_offset()))[slot() * ipc::kResultPartsMax];
    part = {};
    part.bytes = 1;
    part.place = static_cast<std::uint8_t>(quern::wire::Place::kFd);
    auto& completion = reinterpret_cast<ipc::Completion*>(at(geometry_.completions_offset()))[slot()];
    completion = {};
    completion.position = position_;
    completion.outcome = static_cast<std::uint32_t>(ipc::Outcome::kResult);
    completion.parts = 1;
    completion.fd_count = 1;
    header_.completion_tail.store(position_ + 1);
    ring();
    for (;;) pause_ms(1000);
  }

  void choose(std::uint64_t which) {
    switch (which) {
      case 0: return words();
      case 1: return descriptors();
      case 2: return completions();
      case 3: return result_parts();
      case 4: return channel();
      case 5: return tail();
      case 6: return forge();
      case 7: return messages();
      case 8: return descriptor_flood();
      case 9: return doorbell();
      case 10: return flicker();
      case 11: return hang_up();
      case 12: return stream();
      case 13: return memory();
      case 14: return deaf();
      case 15: return usurp();
      default: return hand_back();
    }
  }
  void several() {
    for (std::uint64_t count = 1 + upto(4); count > 0; --count) choose(upto(14));
  }

  // How it ends: by itself in some way, or by returning to the worker's loop as if nothing were.
  void end() {
    ring();
    switch (upto(8)) {
      case 0: ::_exit(static_cast<int>(upto(256)));
      case 1: ::kill(::getpid(), SIGSEGV); break;
      case 2: pause_ms(upto(20)); break;
      case 3: throw sdk::JobError(sdk::JobErrorCode::kInternal, std::string(upto(4096), '\x01'));
      default: break;
    }
  }

 private:
  [[nodiscard]] std::uint64_t upto(std::uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  [[nodiscard]] bool chance(std::uint64_t one_in) { return upto(one_in) == 0; }
  [[nodiscard]] std::byte* at(std::uint64_t offset) const { return reinterpret_cast<std::byte*>(&header_) + offset; }
  [[nodiscard]] std::uint64_t slot() const { return position_ % geometry_.slots; }

  static void pause_ms(std::uint64_t ms) {
    const timespec pause{.tv_sec = 0, .tv_nsec = static_cast<long>(ms) * 1'000'000};
    ::nanosleep(&pause, nullptr);
  }

  // An error as a worker encodes it, with any code, any cause, and text that is none.
  void tell_an_error(ipc::Completion& completion, std::byte* extent) {
    std::vector<std::byte> body;
    ipc::ByteWriter writer(body);
    std::string noise(upto(3000), '\0');
    for (char& c : noise) c = static_cast<char>(random_());
    const std::uint64_t code = chance(2) ? upto(20) : random_();
    quern::wire::encode_error(writer, {.code = static_cast<quern::ErrorCode>(code),
                                       .message = noise,
                                       .field = noise.substr(0, upto(100)),
                                       .cause = {static_cast<quern::CauseKind>(random_()), static_cast<int>(random_())},
                                       .job_id = random_(),
                                       .retry_after_ms = static_cast<std::uint32_t>(random_())});
    std::memcpy(extent, body.data(), body.size());
    completion = {.position = position_,
                  .outcome = static_cast<std::uint32_t>(ipc::Outcome::kError),
                  .parts = 0,
                  .fd_count = 0,
                  .error_bytes = static_cast<std::uint32_t>(body.size()),
                  .run_ns = random_(),
                  .reserved = {}};
    header_.completion_tail.store(position_ + 1);
    ring();
  }

  void scribble(std::uint64_t begin, std::uint64_t end, std::uint64_t words) {
    for (; words > 0; --words) {
      std::uint64_t word = random_();
      if (chance(2)) word &= 0xff;
      std::memcpy(at(begin + upto((end - begin) / sizeof word) * sizeof word), &word, sizeof word);
      if (chance(16)) ring();
    }
  }

  [[nodiscard]] bool write_doorbell(std::uint64_t value) const {
    return ::write(fds_.eventfd, &value, sizeof value) == sizeof value;
  }
  void ring() const { (void)write_doorbell(1); }

  // Mostly without waiting for room: the worker's end of the socket blocks, for as long as it may live.
  void send(const ipc::ControlHeader& header, std::span<const std::byte> body, std::span<const int> fds) {
    pollfd room{.fd = fds_.control, .events = POLLOUT, .revents = 0};
    if (::poll(&room, 1, 0) != 1 && !chance(1000)) return;
    (void)ipc::send_control(fds_.control, header, body, fds);
  }

  // The one descriptor of a regular file that is no memory; -1 without one.
  static int output_file() {
    for (int fd = 3; fd < 64; ++fd) {
      struct stat about {};
      if (::fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && ::fcntl(fd, F_GET_SEALS) < 0) return fd;
    }
    return -1;
  }

  static unique_fd memfd(std::uint64_t bytes) {
    auto fd = ipc::create_memfd("hostile", bytes);
    return fd ? std::move(*fd) : unique_fd();
  }

  // Sealed, unsealed, huge, empty; the channel's doorbell; the socket that they go through; a terminal's.
  std::vector<int> some_fds(std::uint64_t count) {
    std::vector<int> fds;
    while (fds.size() < count) {
      const std::uint64_t which = upto(6);
      if (which == 0) {
        fds.push_back(fds_.eventfd);
      } else if (which == 1) {
        fds.push_back(fds_.control);
      } else if (which == 2) {
        fds.push_back(STDIN_FILENO);
      } else {
        if (made_.size() < 100) {
          unique_fd made = memfd(which == 3 ? std::uint64_t{1} << 45 : upto(100'000));
          if (chance(2)) (void)ipc::seal_contents(made.get());
          made_.push_back(std::move(made));
        }
        fds.push_back(made_[upto(made_.size())].get());
      }
    }
    std::erase_if(fds, [](int fd) { return ::fcntl(fd, F_GETFD) < 0; });  // closed by hang_up
    return fds;
  }

  void send_result_fds() {
    if (chance(3)) return;
    send({.type = ipc::ControlType::kResultFds, .id = position_}, {}, some_fds(1 + upto(3)));
  }

  ipc::ResultPart forged_part() {
    ipc::ResultPart part{};
    part.bytes = chance(4) ? random_() : upto(100'000);
    part.offset = static_cast<std::uint32_t>(chance(4) ? random_() : upto(100'000));
    part.place = static_cast<std::uint8_t>(chance(8) ? random_() : upto(3));
    part.name_bytes = static_cast<std::uint8_t>(chance(8) ? random_() : upto(48));
    for (char& c : part.name) c = static_cast<char>(random_());
    return part;
  }

  std::mt19937_64 random_;
  ipc::ChannelHeader& header_;
  ipc::Geometry geometry_;
  Descriptors fds_;
  std::uint64_t position_;
  std::vector<unique_fd> made_;
};

// In the order of Attack::choose.
const std::vector<std::string> kModes{"words",   "descriptors", "completions", "result_parts",     "channel",
                                      "tail",    "forge",       "messages",    "descriptor_flood", "doorbell",
                                      "flicker", "hang_up",     "stream",      "memory",           "deaf",
                                      "usurp",   "hand_back",   "several"};

void scribble(sdk::Job& job) {
  const Place& channel = find_channel(job.input().data());
  if (channel.header == nullptr) throw sdk::JobError(sdk::JobErrorCode::kInternal, "the channel is not found");
  Attack attack(static_cast<std::uint64_t>(job.integer("seed")), channel);
  const auto mode = static_cast<std::uint64_t>(std::ranges::find(kModes, job.string("mode")) - kModes.begin());
  if (mode + 1 < kModes.size()) {
    attack.choose(mode);
  } else {
    attack.several();
  }
  attack.end();
  job.output().write("scribbled\n");
}

sdk::Module describe_module() {
  using sdk::ParamType;
  const sdk::InputSpec one{.parts_min = 1, .parts_max = 1, .help = "anything"};
  return {
      .name = "hostile",
      .kinds = {
          {.name = "hostile.scribble",
           .summary = "Attacks its supervisor",
           .params =
               {{.name = "seed", .type = ParamType::kInteger, .help = "of what is random", .required = true, .min = 0},
                {.name = "mode",
                 .type = ParamType::kString,
                 .help = "what it attacks",
                 .fallback = "several",
                 .choices = kModes}},
           .input = one,
           .output = "a line of text, when it lives",
           .run = scribble},
          {.name = "hostile.calm",
           .summary = "Behaves",
           .params = {},
           .input = one,
           .output = "the same bytes",
           .run = [](sdk::Job& job) { job.output().write(job.input()); }}}};
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
