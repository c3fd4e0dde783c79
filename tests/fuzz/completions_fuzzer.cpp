// Completions: all that the supervisor reads from a worker. The input is a program of a hostile worker and
// its supervisor in turns: the worker writes any bytes anywhere in the channel (header words, descriptors,
// completions, result parts, extents) and sends any control message with any descriptors; the supervisor
// publishes jobs and drains answers through CompletionConsumer and CompletionReader, as Worker does.
//
// Oracle: an answer that passes is what completion_reader.h promises (parts inside the output extent, totals
// within the job's limit, names private, descriptors sealed and of the right size); no descriptor leaks.
//
// Input: u8 geometry, then steps {u8 step, its operands}. Half of the steps write what a correct worker
// might, so that the deeper checks are reached.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "ipc/completion_ring.h"
#include "ipc/memfd.h"
#include "supervisor/completion_reader.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/open_fds.h"

namespace quern::fuzz {
namespace {

constexpr std::size_t kStepsMax = 256;
constexpr std::size_t kMessagesMax = 24;  // more would fill the socket

// What a worker may have to send: sealed memfds of several sizes, and what must be refused.
class Senders {
 public:
  Senders() {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{100}, std::size_t{5000}}) {
      keep(ipc::memfd_from("sealed", std::vector<std::byte>(bytes, std::byte{1})));
    }
    keep(ipc::create_memfd("unsealed", 100));
    keep(ipc::create_allocated_memfd("writable", 100));
    fds_.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    fds_.emplace_back(::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  [[nodiscard]] int pick(std::size_t i) const { return fds_[i % fds_.size()].get(); }

 private:
  void keep(Result<unique_fd> fd) {
    check(fd.has_value(), "a memfd");
    fds_.push_back(std::move(*fd));
  }
  std::vector<unique_fd> fds_;
};

// Channels are made once: only their bytes change.
const ipc::Channel& blank_channel(std::uint8_t which) {
  static const std::array<ipc::Channel, 3> channels = [] {
    std::array<ipc::Channel, 3> made;
    constexpr std::array<ipc::Geometry, 3> kGeometries = {{
        {.slots = 1, .input_extent_bytes = 4096, .output_extent_bytes = 4096},
        {.slots = 2, .input_extent_bytes = 4096, .output_extent_bytes = 8192},
        {.slots = 4, .input_extent_bytes = 8192, .output_extent_bytes = 4096},
    }};
    for (std::size_t i = 0; i < made.size(); ++i) {
      auto created = ipc::Channel::create(kGeometries[i], i);
      check(created.has_value(), "a channel");
      made[i] = std::move(created->channel);
    }
    return made;
  }();
  const ipc::Channel& channel = channels[which % channels.size()];
  auto* bytes = reinterpret_cast<std::byte*>(&channel.header());
  std::memset(bytes, 0, channel.geometry().total_bytes());
  return channel;
}

class Play {
 public:
  Play(Input& input, const ipc::Channel& channel)
      : input_(input),
        channel_(channel),
        pair_(make_pair()),
        consumer_(channel),
        reader_(channel, pair_.supervisor.get()) {}

  void run() {
    for (std::size_t i = 0; i < kStepsMax && !input_.empty() && !corrupt_; ++i) step();
    drain();
  }

 private:
  static ipc::ControlPair make_pair() {
    auto pair = ipc::make_control_pair();
    check(pair.has_value(), "a control pair");
    check(::fcntl(pair->supervisor.get(), F_SETFL, O_NONBLOCK) == 0, "a non-blocking end");
    check(::fcntl(pair->child.get(), F_SETFL, O_NONBLOCK) == 0, "a non-blocking end");
    return std::move(*pair);
  }

  void step() {
    switch (input_.byte() % 8) {
      case 0: return publish();
      case 1: return write_anywhere();
      case 2: return write_result_part();
      case 3: return write_error();
      case 4: return send_descriptors();
      case 5: return complete();
      case 6: return set_tail(input_.number<std::uint64_t>());
      case 7: return drain();
    }
  }

  // ---- The supervisor

  void publish() {
    const std::uint8_t how = input_.byte();
    if (published_ - consumer_.consumed() >= channel_.geometry().slots) return;
    Slot& slot = slots_[channel_.slot(published_)];
    constexpr std::array<std::uint64_t, 6> kLimits = {0, 1, 200, 4096, 1U << 20, UINT64_MAX};
    slot.job.result_bytes_max = kLimits[how / 8 % kLimits.size()];
    slot.revoked = how % 8 == 7;
    ++published_;
  }

  void drain() {
    ipc::Completion completion;
    while (!corrupt_) {
      const auto look = consumer_.look(published_, completion);
      if (look == ipc::CompletionConsumer::Look::kEmpty) return;
      if (look == ipc::CompletionConsumer::Look::kCorrupt || !deliver(completion)) corrupt_ = true;
    }
  }

  bool deliver(const ipc::Completion& completion) {
    check(completion.position == consumer_.consumed(), "a completion answers the next position");
    check(completion.parts <= ipc::kResultPartsMax && completion.fd_count <= ipc::kResultPartsMax &&
              completion.error_bytes <= channel_.geometry().output_extent_bytes,
          "a completion's own fields are in range");
    Slot& slot = slots_[channel_.slot(completion.position)];
    auto answer = reader_.read(completion, slot.revoked ? nullptr : &slot.job);
    if (!answer) return false;
    if (answer->error) {
      check(answer->error->message.size() <= wire::kMessageBytesMax, "an error's message is bounded");
      check(answer->result.parts.empty() && answer->result.fds.empty(), "an error has no result");
    } else if (!slot.revoked) {
      check_result(answer->result, channel_.output(completion.position), slot.job.result_bytes_max);
    }
    if (!answer->result.fds.empty()) unique_fd taken = std::move(answer->result.fds.front());  // a client keeps one
    reader_.drop();
    consumer_.pop();
    return true;
  }

  static void check_result(const supervisor::ResultParts& result, ipc::ByteSpan extent, std::uint64_t bytes_max) {
    check(result.parts.size() <= ipc::kResultPartsMax, "the number of parts is bounded");
    std::uint64_t total = 0;
    std::size_t fds = 0;
    for (const auto& part : result.parts) {
      check(part.bytes <= bytes_max - total, "parts together are within the job's limit");
      total += part.bytes;
      check(part.name.size() <= ipc::kResultPartNameBytesMax, "a part's name is bounded");
      if (part.place == wire::Place::kFd) {
        check(part.data.empty() && fds < result.fds.size(), "a part in a descriptor has one");
        const auto sealed = ipc::sealed_size(result.fds[fds++].get());
        check(sealed && *sealed == part.bytes, "and it is sealed, of the part's size");
        continue;
      }
      check(part.data.size() == part.bytes, "an inline part has the bytes it says");
      check(part.data.data() >= extent.data() && part.data.data() + part.data.size() <= extent.data() + extent.size(),
            "an inline part lies inside the output extent");
      const std::vector<std::byte> copy(part.data.begin(), part.data.end());  // as a session does
      check(copy.size() == part.bytes, "and can be read");
    }
    check(fds == result.fds.size(), "no descriptor is left over");
  }

  // ---- The worker

  std::uint64_t some_position() { return consumer_.consumed() + input_.byte() % 4; }

  void write_anywhere() {
    const std::array<std::uint64_t, 6> areas = {0,
                                                channel_.geometry().descriptors_offset(),
                                                channel_.geometry().completions_offset(),
                                                channel_.geometry().result_parts_offset(),
                                                channel_.geometry().inputs_offset(),
                                                channel_.geometry().outputs_offset()};
    const std::uint64_t area = areas[input_.byte() % areas.size()];
    const std::uint64_t at = (area + input_.number<std::uint16_t>()) % channel_.geometry().total_bytes();
    const ipc::ByteSpan bytes =
        input_.bytes(std::min<std::uint64_t>(input_.byte(), channel_.geometry().total_bytes() - at));
    if (!bytes.empty()) std::memcpy(reinterpret_cast<std::byte*>(&channel_.header()) + at, bytes.data(), bytes.size());
  }

  void write_result_part() {
    ipc::ResultPart& part = channel_.result_parts(some_position())[input_.byte() % ipc::kResultPartsMax];
    const std::uint8_t flags = input_.byte();
    part.place = flags % 4;
    part.name_bytes = flags / 4;
    part.bytes = input_.number<std::uint16_t>();
    part.offset = input_.number<std::uint16_t>();
  }

  void write_error() {
    const auto output = channel_.output(some_position());
    const ipc::ByteSpan text = input_.bytes(input_.byte());
    std::vector<std::byte> body;
    ipc::ByteWriter out(body);
    wire::encode_error(out, {.code = ErrorCode::kBadInput, .message = std::string(ipc::as_text(text)), .field = "f"});
    std::memcpy(output.data(), body.data(), body.size());
  }

  void send_descriptors() {
    const std::uint8_t how = input_.byte();
    const std::size_t count = input_.byte() % (ipc::kMessageFdsMax + 1);
    const std::size_t first = input_.byte();
    const ipc::ControlHeader header{.type = how % 8 == 7 ? ipc::ControlType::kJobFds : ipc::ControlType::kResultFds,
                                    .id = consumer_.consumed() + how / 8 % 4};
    if (++messages_ > kMessagesMax) return;
    std::vector<int> fds;
    for (std::size_t i = 0; i < count; ++i) fds.push_back(senders().pick(how % 2 == 0 ? first : first + i));
    (void)ipc::send_control(pair_.child.get(), header, {}, fds);
  }

  void complete() {
    auto& tail = channel_.header().completion_tail;
    const std::uint64_t position = tail.load(std::memory_order_relaxed);
    ipc::Completion& completion = channel_.completion(position);
    const std::uint8_t outcome = input_.byte();
    completion.position = position;
    completion.outcome = outcome % 4;
    completion.parts = input_.byte();
    completion.fd_count = outcome / 4;
    completion.error_bytes = input_.number<std::uint16_t>();
    set_tail(position + 1);
  }

  void set_tail(std::uint64_t tail) { channel_.header().completion_tail.store(tail, std::memory_order_seq_cst); }

  static const Senders& senders() {
    static const Senders all;
    return all;
  }

  struct Slot {
    supervisor::Job job{};
    bool revoked = false;
  };
  Input& input_;
  const ipc::Channel& channel_;
  ipc::ControlPair pair_;
  ipc::CompletionConsumer consumer_;
  supervisor::CompletionReader reader_;
  std::array<Slot, 4> slots_{};
  std::uint64_t published_ = 0;
  std::size_t messages_ = 0;
  bool corrupt_ = false;

 public:
  // Before anything is counted.
  static void prepare() { (void)senders(); }
};

}  // namespace
}  // namespace quern::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quern;
  static fuzz::OpenFds open_fds;
  fuzz::Play::prepare();
  fuzz::Input input(data, size);
  const ipc::Channel& channel = fuzz::blank_channel(input.byte());
  const std::size_t before = open_fds.count();
  fuzz::Play(input, channel).run();
  fuzz::check(open_fds.count() == before, "no descriptor leaks");
  return 0;
}
