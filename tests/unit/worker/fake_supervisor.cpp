#include "fake_supervisor.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "ipc/doorbell.h"
#include "ipc/memfd.h"

namespace quern::test {
namespace {

constexpr int kLimitMs = 20'000;
constexpr int kControlFd = 3;

unique_fd open_pidfd(pid_t pid) { return unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

void receive(int socket, ipc::ControlMessage& message) {
  pollfd waiting{.fd = socket, .events = POLLIN, .revents = 0};
  if (::poll(&waiting, 1, kLimitMs) != 1) throw std::runtime_error("no control message came");
  if (ipc::receive_control(socket, message).value() != ipc::IoStatus::kDone)
    throw std::runtime_error("the control socket closed");
}

std::string contents_of(int fd, std::uint64_t bytes) {
  if (ipc::sealed_size(fd).value() != bytes)
    throw std::runtime_error("a result's descriptor has another size than said");
  const auto mapping = ipc::Mapping::map(fd, bytes, ipc::Access::kReadOnly).value();
  return std::string(ipc::as_text(mapping.bytes()));
}

pid_t execute(const std::vector<std::string>& arguments, int control) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, control, kControlFd);
  pid_t pid = -1;
  const int failure = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) throw std::runtime_error(std::string("posix_spawn: ") + std::strerror(failure));
  return pid;
}

}  // namespace

std::vector<std::byte> body_of(const Call& call) {
  std::vector<std::byte> body;
  ipc::ByteWriter writer(body);
  wire::encode_job_body(writer, call.params, call.parts);
  return body;
}

void publish(const ipc::Channel& channel, ipc::SubmissionProducer& producer, int control, const Call& call) {
  const std::vector<std::byte> body = body_of(call);
  std::vector<int> fds = call.fds;
  unique_fd body_fd;
  if (call.body_in_fd) {
    body_fd = ipc::memfd_from("body", body).value();
    fds.insert(fds.begin(), body_fd.get());
  } else {
    std::memcpy(channel.input(producer.next()).data(), body.data(), body.size());
  }
  if (!fds.empty()) {
    (void)ipc::send_control(control, {.type = ipc::ControlType::kJobFds, .id = producer.next()}, {}, fds).value();
  }
  producer.publish({.job_id = call.job_id,
                    .result_bytes_max = call.result_bytes_max,
                    .kind = call.kind,
                    .attempt = call.attempt,
                    .body_bytes = static_cast<std::uint32_t>(body.size()),
                    .fd_count = static_cast<std::uint16_t>(fds.size()),
                    .body_in_fd = call.body_in_fd});
}

Answer read_answer(const ipc::Channel& channel, const ipc::Completion& completion, int control) {
  Answer answer{.outcome = static_cast<ipc::Outcome>(completion.outcome), .run_ns = completion.run_ns};
  const auto extent = channel.output(completion.position);
  if (answer.outcome == ipc::Outcome::kError)
    answer.error = wire::decode_error(extent.first(completion.error_bytes)).value();
  ipc::ControlMessage fds;
  if (completion.fd_count > 0) {
    receive(control, fds);
    if (fds.header.id != completion.position || fds.fds.size() != completion.fd_count)
      throw std::runtime_error("not this result's descriptors");
  }
  std::size_t next_fd = 0;
  for (std::uint32_t i = 0; i < completion.parts; ++i) {
    const ipc::ResultPart& part = channel.result_parts(completion.position)[i];
    AnswerPart& read =
        answer.parts.emplace_back(AnswerPart{.name = {part.name, part.name_bytes},
                                             .bytes = {},
                                             .in_fd = part.place == static_cast<std::uint8_t>(wire::Place::kFd)});
    read.bytes = read.in_fd ? contents_of(fds.fds.at(next_fd++).get(), part.bytes)
                            : std::string(ipc::as_text(extent.subspan(part.offset, part.bytes)));
  }
  return answer;
}

int wait_for_end(int pidfd) {
  if (!ends(pidfd)) throw std::runtime_error("a process does not end");
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) != 0)
    throw std::runtime_error("waitid: not our child");
  return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

bool ends(int pidfd, int limit_ms) {
  pollfd waiting{.fd = pidfd, .events = POLLIN, .revents = 0};
  return ::poll(&waiting, 1, limit_ms) == 1;
}

// ---- FakeWorker ------------------------------------------------------------------------------------

FakeWorker::FakeWorker(const ipc::Geometry& geometry, std::uint64_t incarnation)
    : channel_(ipc::Channel::create(geometry, incarnation).value()),
      submissions_(channel_.channel),
      completions_(channel_.channel),
      control_(ipc::make_control_pair().value()),
      eventfd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      incarnation_(incarnation) {}

FakeWorker::~FakeWorker() {
  if (!pidfd_) return;
  (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  (void)test::wait_for_end(pidfd_.get());
}

std::uint64_t FakeWorker::submit(const Call& call) {
  publish(channel_.channel, submissions_, control_.supervisor.get(), call);
  ipc::ring_worker(channel_.channel.header());
  return submissions_.next() - 1;
}

std::optional<Answer> FakeWorker::answer() {
  ipc::Completion completion;
  bool dead = false;
  for (;;) {
    const auto look = completions_.look(submissions_.next(), completion);
    if (look == ipc::CompletionConsumer::Look::kCorrupt) throw std::runtime_error("the worker wrote garbage");
    if (look == ipc::CompletionConsumer::Look::kOne) {
      Answer answer = read_answer(channel_.channel, completion, control_.supervisor.get());
      completions_.pop();
      return answer;
    }
    if (dead) return std::nullopt;
    ipc::ChannelHeader& header = channel_.channel.header();
    if (!ipc::prepare_supervisor_sleep(header, {.completions = completions_.consumed(),
                                                .stream = header.stream_produced.load(),
                                                .memory = header.memory_wanted.load()}))
      continue;
    pollfd waiting[] = {{.fd = eventfd_.get(), .events = POLLIN, .revents = 0},
                        {.fd = pidfd_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(waiting, 2, kLimitMs) == 0) throw std::runtime_error("no answer came");
    std::uint64_t count = 0;
    (void)!::read(eventfd_.get(), &count, sizeof count);
    ipc::supervisor_awake(channel_.channel.header());
    dead = waiting[1].revents != 0;
  }
}

void FakeWorker::retire() {
  channel_.channel.header().lifecycle.store(static_cast<std::uint32_t>(ipc::Lifecycle::kRetire));
  ipc::ring_worker(channel_.channel.header());
}

// ---- FakeSupervisor --------------------------------------------------------------------------------

FakeSupervisor::FakeSupervisor(std::vector<std::string> modules, std::vector<std::string> more)
    : control_(ipc::make_control_pair().value()) {
  std::vector<std::string> arguments{QUERN_WORKER,
                                     "--pool",
                                     "test",
                                     "--control-fd",
                                     std::to_string(kControlFd),
                                     "--supervisor-pid",
                                     std::to_string(::getpid())};
  for (const std::string& path : modules) arguments.insert(arguments.end(), {"--module", path});
  arguments.insert(arguments.end(), more.begin(), more.end());
  pid_ = execute(arguments, control_.child.get());
  pidfd_ = open_pidfd(pid_);
  control_.child.reset();
  load();
}

FakeSupervisor::~FakeSupervisor() {
  if (!pidfd_) return;
  kill_template();
  (void)test::wait_for_end(pidfd_.get());
}

void FakeSupervisor::load() {
  for (;;) {
    receive(control(), message_);
    switch (message_.header.type) {
      case ipc::ControlType::kKind:
        if (message_.header.id != kinds_.size()) throw std::runtime_error("kinds are announced out of order");
        kinds_.emplace_back(ipc::decode_kind(message_.body).value().name);
        if (ipc::decode_kind(message_.body).value().canary) canaries_.push_back(kinds_.back());
        break;
      case ipc::ControlType::kReady:
        if (message_.header.id != kinds_.size())
          throw std::runtime_error("ready counts other kinds than were announced");
        return;
      case ipc::ControlType::kLoadFailed: load_failure_ = ipc::as_text(message_.body); return;
      default: throw std::runtime_error("an unexpected message from a loading template");
    }
  }
}

std::uint32_t FakeSupervisor::kind(std::string_view name) const {
  const auto at = std::ranges::find(kinds_, name);
  if (at == kinds_.end()) throw std::runtime_error("no such kind");
  return static_cast<std::uint32_t>(at - kinds_.begin());
}

std::unique_ptr<FakeWorker> FakeSupervisor::spawn(const ipc::Geometry& geometry) {
  auto worker = std::make_unique<FakeWorker>(geometry, next_incarnation_++);
  const int fds[] = {worker->channel_.fd.get(), worker->eventfd_.get(), worker->control_.child.get()};
  (void)ipc::send_control(control(), {.type = ipc::ControlType::kSpawn, .id = worker->incarnation_}, {}, fds).value();
  worker->channel_.fd.reset();
  worker->control_.child.reset();
  receive(control(), message_);
  if (message_.header.type != ipc::ControlType::kSpawned || message_.header.id != worker->incarnation_) {
    throw std::runtime_error("the template did not fork");
  }
  worker->pid_ = message_.header.value;
  worker->pidfd_ = std::move(message_.fds.at(0));
  return worker;
}

std::string FakeSupervisor::symbolize(std::span<const std::uint64_t> addresses) {
  std::vector<std::byte> body;
  ipc::encode_addresses(body, addresses);
  (void)ipc::send_control(control(), {.type = ipc::ControlType::kSymbolize, .id = 7}, body).value();
  receive(control(), message_);
  if (message_.header.type != ipc::ControlType::kSymbols || message_.header.id != 7)
    throw std::runtime_error("the template did not answer with names");
  return std::string(ipc::as_text(message_.body));
}

void FakeSupervisor::kill_template() { (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0); }

}  // namespace quern::test
