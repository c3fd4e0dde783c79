#include "tests/integration/server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "client/cli/ping.h"
#include "tests/integration/leak_check.h"

namespace quern::test {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

pid_t spawn(const std::vector<std::string>& command, int in, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out, 1);
  ::posix_spawn_file_actions_adddup2(&actions, err, 2);
  pid_t pid = -1;
  const int failure = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) ADD_FAILURE() << "can't run " << command[0] << ": " << ::strerrordesc_np(failure);
  return pid;
}

boost::json::object status_of(const Result<std::string>& document) {
  EXPECT_TRUE(document) << to_string(document.error());
  return document ? boost::json::parse(*document).as_object() : boost::json::object{};
}

boost::json::object pool_of(const boost::json::object& status, std::string_view name) {
  for (const auto& pool : status.at("pools").as_array()) {
    if (name.empty() || pool.at("name").as_string() == name) return pool.as_object();
  }
  ADD_FAILURE() << "no pool " << name;
  return {};
}

// As far as anybody reads it. SIGPIPE is for this thread alone, and taken here: what the process ignores, the commands
// that it starts would ignore, too.
void write_all(int pipe, std::string_view bytes) {
  sigset_t broken;
  sigset_t before;
  ::sigemptyset(&broken);
  ::sigaddset(&broken, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken, &before);
  while (!bytes.empty()) {
    const ssize_t n = ::write(pipe, bytes.data(), bytes.size());
    if (n <= 0) break;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  const timespec at_once{};
  (void)::sigtimedwait(&broken, nullptr, &at_once);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

int exit_code_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(2ms);  // between two looks at the condition
  }
  return true;
}

Server::Server(std::string config) {
  std::string pattern = ::testing::TempDir() + "quern.XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  directory_ = pattern;
  config_path_ = directory_ + "/quern.toml";
  std::ofstream(config_path_) << (config.empty() ? debug_pool() : config);
  start();
}

void Server::start() {
  const unique_fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const unique_fd log(::open((directory_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  pid_ = spawn({QUERND, "--config", config_path_, "--runtime-dir", directory_}, null.get(), log.get(), log.get());
  const auto up = cli::ping(socket_path(), 30s);
  EXPECT_TRUE(up) << to_string(up.error()) << "\n" << this->log();
  // what the first one held is what every one after it must hold: clients of a second start may connect any moment
  if (up && !leak_check_) leak_check_ = std::make_unique<LeakCheck>(*this);
}

void Server::skip_leak_check(std::string_view why) {
  std::fprintf(stderr, "not checked for leaks: %.*s\n", static_cast<int>(why.size()), why.data());
  leak_check_.reset();
}

Server::~Server() {
  if (pid_ > 0) {
    // of a test that failed already, its own message counts
    if (leak_check_ && !::testing::Test::HasFailure()) leak_check_->expect_back_at_rest(*this);
    const auto left = descendants(pid_);
    signal(SIGTERM);
    EXPECT_EQ(wait(), 0) << log();
    for (const pid_t process : left) {
      EXPECT_TRUE(eventually([&] { return !is_alive(process); })) << "process " << process << " outlived quernd";
    }
  }
  if (::testing::Test::HasFailure()) std::fprintf(stderr, "quernd's log:\n%s\n", log().c_str());
  std::filesystem::remove_all(directory_);
}

client::Client Server::connect() const { return client::Client({.socket_path = socket_path(), .name = "test"}); }

Result<std::string> Server::operate(wire::AdminOp op, std::string_view pool, std::uint64_t value) const {
  client::Client client({.socket_path = directory_ + "/admin.sock", .name = "test"});
  return client.admin(op, pool, value);
}

boost::json::object Server::status() const { return status_of(operate(wire::AdminOp::kStatus, "")); }

boost::json::object Server::pool(std::string_view name) const { return pool_of(status(), name); }

boost::json::object Operator::status() { return status_of(client_.admin(wire::AdminOp::kStatus)); }

boost::json::object Operator::pool(std::string_view name) { return pool_of(status(), name); }

bool Operator::at_rest(std::size_t clients) {
  const boost::json::object now = status();
  if (now.at("clients").to_number<std::size_t>() != clients) return false;
  return std::ranges::all_of(now.at("pools").as_array(), [](const boost::json::value& pool) {
    const auto& workers = pool.at("workers").as_array();
    return pool.at("queued").to_number<int>() == 0 && pool.at("running").to_number<int>() == 0 &&
           workers.size() == pool.at("workers_target").to_number<std::size_t>() &&
           std::ranges::all_of(workers, [](const auto& worker) { return worker.at("state").as_string() == "idle"; });
  });
}

bool Operator::accounts_are_empty() {
  const boost::json::object now = status();
  const auto is_empty = [](const boost::json::value& account) {
    return std::ranges::all_of(std::array{"descriptors", "payload_bytes", "buffer_bytes", "unread_bytes"},
                               [&](const char* what) { return account.at(what).to_number<std::uint64_t>() == 0; });
  };
  return std::ranges::all_of(now.at("connections").as_array(), is_empty) &&
         std::ranges::all_of(now.at("users").as_array(), is_empty) &&
         now.at("descriptors").at("of_clients").to_number<std::uint64_t>() == 0;
}

std::size_t Operator::release_quarantine() {
  std::size_t quarantined = 0;
  const boost::json::object list = status_of(ask(wire::AdminOp::kQuarantineList));
  for (const auto& entry : list.at("entries").as_array()) {
    if (entry.at("state").as_string() != "suspect") ++quarantined;
    const std::string id(entry.at("id").as_string());
    EXPECT_TRUE(ask(wire::AdminOp::kQuarantineRelease, {}, std::stoull(id, nullptr, 16)));
  }
  return quarantined;
}

pid_t Server::busy_worker() const {
  pid_t pid = -1;
  const bool begun = eventually([&] {
    const boost::json::object document = status();
    for (const auto& pool : document.at("pools").as_array()) {
      for (const auto& worker : pool.at("workers").as_array()) {
        const auto* job = worker.as_object().if_contains("job");
        if (job != nullptr && job->at("begun").as_bool()) pid = static_cast<pid_t>(worker.at("pid").as_int64());
      }
    }
    return pid > 0;
  });
  if (!begun) throw std::runtime_error("no worker has begun a job");
  return pid;
}

pid_t Server::only_worker() const {
  const boost::json::object only = pool();
  const auto& workers = only.at("workers").as_array();
  const pid_t pid = workers.size() == 1 ? workers[0].at("pid").to_number<pid_t>() : -1;
  if (pid <= 0) throw std::runtime_error("there is no worker, or more than one");
  return pid;
}

bool Server::is_stopping_a_job() const {
  const auto jobs = operate(wire::AdminOp::kJobs, "");
  return jobs && jobs->find("\"stopping\":") != std::string::npos;
}

std::uint64_t Server::deaths(std::string_view cause) const {
  const boost::json::object counts = pool().at("deaths").as_object();
  const auto* count = counts.if_contains(cause);
  return count == nullptr ? 0 : count->to_number<std::uint64_t>();
}

void Server::signal(int number) const {
  if (pid_ <= 0) throw std::logic_error("quernd does not run");
  ::kill(pid_, number);
}

int Server::wait() { return exit_code_of(std::exchange(pid_, -1)); }

std::string Server::log() const { return read_file(directory_ + "/log"); }

std::size_t Server::open_fds() const {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd"))
    ++count;
  return count;
}

Holdings Server::holdings() const {
  Holdings found;
  const std::string proc = "/proc/" + std::to_string(pid_);
  for (const auto& entry : std::filesystem::directory_iterator(proc + "/fd")) {
    ++found.fds;
    std::error_code closed;
    if (std::filesystem::read_symlink(entry.path(), closed).string().starts_with("/memfd:")) ++found.memfds;
  }
  std::ifstream maps(proc + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/memfd:") != std::string::npos) ++found.memfd_mappings;
  }
  return found;
}

std::ostream& operator<<(std::ostream& out, const Holdings& holdings) {
  return out << holdings.fds << " descriptors, " << holdings.memfds << " of them memfds, " << holdings.memfd_mappings
             << " mapped memfds";
}

void Server::for_each_child(const std::function<void(pid_t pid, char state)>& visit) const {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = read_file(entry.path() / "stat");
    const auto end = stat.rfind(')');  // the name before it may hold anything
    if (end == std::string::npos) continue;
    std::istringstream rest(stat.substr(end + 1));
    char state = 0;
    pid_t parent = 0;
    rest >> state >> parent;
    if (parent == pid_) visit(std::stoi(name), state);
  }
}

std::vector<pid_t> Server::children() const {
  std::vector<pid_t> found;
  for_each_child([&](pid_t pid, char state) {
    if (state != 'Z') found.push_back(pid);
  });
  return found;
}

std::size_t Server::zombies() const {
  std::size_t count = 0;
  for_each_child([&](pid_t, char state) { count += state == 'Z' ? 1U : 0U; });
  return count;
}

pid_t Server::template_pid() const {
  const boost::json::object only = pool();
  for (const pid_t child : children()) {
    bool worker = false;
    for (const auto& each : only.at("workers").as_array()) worker |= each.at("pid").to_number<pid_t>() == child;
    if (!worker) return child;
  }
  return -1;
}

Ended run(const std::vector<std::string>& command, std::string_view input) {
  int in[2];
  int out[2];
  int err[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) std::abort();
  const pid_t pid = spawn(command, in[0], out[1], err[1]);
  ::close(in[0]);
  ::close(out[1]);
  ::close(err[1]);
  const auto read_all = [](int fd) {
    std::string all;
    char buffer[65536];
    for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(n));
    ::close(fd);
    return all;
  };
  auto out_text = std::async(std::launch::async, read_all, out[0]);
  auto err_text = std::async(std::launch::async, read_all, err[0]);
  write_all(in[1], input);
  ::close(in[1]);
  Ended ended;
  ended.exit_code = exit_code_of(pid);
  ended.out = out_text.get();
  ended.err = err_text.get();
  return ended;
}

Ended quern(const Server& server, std::vector<std::string> arguments, std::string_view input) {
  arguments.insert(arguments.begin(), {QUERN, "--runtime-dir", server.directory()});
  return run(arguments, input);
}

}  // namespace quern::test
