#include "client/cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "client/cli/exit_code.h"
#include "client/cli/kinds.h"
#include "ipc/memfd.h"

namespace quern::cli {
namespace {

namespace json = boost::json;

struct RunArguments {
  std::string kind;
  json::object params{};
  std::vector<std::string> inputs{};
  std::string output = "-";
  wire::JobOptions options{};
  bool progress = false;
  bool help = false;
};

Error usage(std::string message, std::string field = {}) {
  return Error{.code = ErrorCode::kInvalidArgument, .message = std::move(message), .field = std::move(field)};
}

// Walks over the words after KIND.
class Words {
 public:
  explicit Words(const std::vector<std::string>& words) : words_(words) {}
  [[nodiscard]] bool done() const { return at_ == words_.size(); }
  const std::string& next() { return words_[at_++]; }
  [[nodiscard]] const std::string* peek() const { return done() ? nullptr : &words_[at_]; }

 private:
  const std::vector<std::string>& words_;
  std::size_t at_ = 1;
};

Result<std::uint32_t> whole_number(std::string_view name, std::string_view text) {
  std::uint32_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size()) {
    return usage(fmt::format("--{} must be a whole number (got '{}')", name, text));
  }
  return number;
}

// One of the options every job has. Nothing when `name` is none of them.
Result<bool> take_job_option(RunArguments& run, std::string_view name, const std::string* attached, Words& words) {
  if (name == "no-wait") return run.options.no_wait = true;
  if (name == "progress") return run.progress = true;
  std::optional<std::uint32_t>* target = nullptr;
  std::optional<std::uint32_t> priority;
  if (name == "priority") target = &priority;
  if (name == "attempts") target = &run.options.attempts;
  if (name == "queue-timeout-ms") target = &run.options.queue_timeout_ms;
  if (name == "run-timeout-ms") target = &run.options.run_timeout_ms;
  if (name == "deadline-ms") target = &run.options.deadline_ms;
  if (target == nullptr) return false;
  if (attached == nullptr && words.done()) return usage(fmt::format("--{} needs a value", name));
  const auto number = whole_number(name, attached != nullptr ? *attached : words.next());
  if (!number) return number.error();
  *target = *number;
  if (priority) {
    if (*priority > wire::kPriorityMax) return usage("--priority must be between 0 and 9");
    run.options.priority = static_cast<std::uint8_t>(*priority);
  }
  return true;
}

// --width 320, --width=320, --flag, --no-flag, with `-` and `_` alike.
Result<void> take_parameter(RunArguments& run, const json::object& kind, std::string_view word, Words& words) {
  std::string name(word.substr(2));
  std::optional<std::string> attached;
  if (const auto equals = name.find('='); equals != std::string::npos) {
    attached = name.substr(equals + 1);
    name.resize(equals);
  }
  const auto option = take_job_option(run, name, attached ? &*attached : nullptr, words);
  if (!option) return option.error();
  if (*option) return {};
  std::ranges::replace(name, '-', '_');
  const json::object* param = find_param(kind, name);
  if (param == nullptr && name.starts_with("no_")) {
    const json::object* negated = find_param(kind, std::string_view(name).substr(3));
    if (negated != nullptr && negated->at("type").as_string() == "boolean") {
      run.params[std::string_view(name).substr(3)] = false;
      return {};
    }
  }
  if (param == nullptr) {
    return usage(fmt::format("{} has no parameter --{}; `quern run {} --help` lists them", run.kind, name, run.kind),
                 name);
  }
  const bool boolean = param->at("type").as_string() == "boolean";
  if (boolean && !attached) {
    const std::string* following = words.peek();
    const bool spelled = following != nullptr && (*following == "true" || *following == "false");
    attached = spelled ? words.next() : "true";
  }
  if (!attached && words.done()) return usage(fmt::format("--{} needs a value", name), name);
  const auto value = typed_value(*param, attached ? *attached : words.next());
  if (!value) return value.error();
  run.params[name] = *value;
  return {};
}

Result<RunArguments> parse_arguments(const KindTable& kinds, const std::vector<std::string>& arguments) {
  RunArguments run{.kind = arguments.front()};
  const json::object* kind = kinds.find(run.kind);
  if (kind == nullptr) {
    return usage(fmt::format("this server has no kind '{}'; `quern kinds` lists what it has", run.kind), "kind");
  }
  Words words(arguments);
  bool only_inputs = false;
  while (!words.done()) {
    const std::string& word = words.next();
    if (only_inputs || word == "-" || !word.starts_with("-")) {
      run.inputs.push_back(word);
    } else if (word == "--") {
      only_inputs = true;
    } else if (word == "--help" || word == "-h") {
      run.help = true;
    } else if (word == "-o" || word == "--output") {
      if (words.done()) return usage("-o needs a file name, or -");
      run.output = words.next();
    } else if (word.starts_with("--")) {
      if (auto taken = take_parameter(run, *kind, word, words); !taken) return taken.error();
    } else {
      return usage(fmt::format("there is no option {}; parameters are written --name value", word));
    }
  }
  const std::uint64_t parts_max = kind->at("input").as_object().at("parts_max").to_number<std::uint64_t>();
  const std::uint64_t parts_min = kind->at("input").as_object().at("parts_min").to_number<std::uint64_t>();
  if (run.inputs.size() > parts_max) {
    return usage(fmt::format("{} takes at most {} inputs, not {}", run.kind, parts_max, run.inputs.size()));
  }
  const bool piped = parts_max > 0 && ::isatty(STDIN_FILENO) == 0;
  if (run.inputs.empty() && (parts_min > 0 || piped)) run.inputs.emplace_back("-");
  return run;
}

// ---- Input and output --------------------------------------------------------------------------------

Error file_error(std::string_view what, const std::string& path) {
  return Error{.code = ErrorCode::kInvalidArgument,
               .message = fmt::format("{} {}: {}", what, path, ::strerrordesc_np(errno)),
               .field = "input"};
}

// Large files go from the page cache into a memfd inside the kernel; small ones into the frame.
Result<client::Part> read_input(const std::string& path) {
  const bool standard = path == "-";
  unique_fd file(standard ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return file_error("can't open", path);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return file_error("can't stat", path);
  if (S_ISDIR(info.st_mode)) return usage(fmt::format("{} is a directory", path), "input");
  const std::string name =
      standard ? "" : std::filesystem::path(path).filename().string().substr(0, wire::kPartNameBytesMax);

  std::vector<std::byte> head(client::kInlineBytesMax + 1);
  std::size_t held = 0;
  while (held < head.size()) {
    const ssize_t n = ::read(file.get(), head.data() + held, head.size() - held);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error("can't read", path);
    if (n == 0) return client::Part::copy(std::span(head).first(held), name);
    held += static_cast<std::size_t>(n);
  }
  auto memfd = ipc::create_memfd("input", 0);
  if (!memfd) return memfd.error();
  ssize_t n = ::write(memfd->get(), head.data(), held);
  while (n > 0) {
    n = ::sendfile(memfd->get(), file.get(), nullptr, 1U << 30);
    if (n < 0 && (errno == EINVAL || errno == ENOSYS)) {  // a terminal or a pipe that can't be sent from
      n = ::read(file.get(), head.data(), head.size());
      if (n > 0) n = ::write(memfd->get(), head.data(), static_cast<std::size_t>(n));
    }
    if (n < 0 && errno == EINTR) n = 1;
  }
  if (n < 0) return file_error("can't read", path);
  if (auto sealed = ipc::seal_contents(memfd->get()); !sealed) return sealed.error();
  return client::Part::sealed(std::move(*memfd), name);
}

Result<void> write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error("can't write", path);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

// Written beside its target and renamed over it: a failure leaves what was there.
Result<void> replace_file(const std::string& path, std::span<const std::byte> bytes) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {  // /dev/null, a pipe
    unique_fd out(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return out ? write_all(out.get(), bytes, path) : Result<void>(file_error("can't open", path));
  }
  std::string temporary = path + ".XXXXXX";
  unique_fd out(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!out) return file_error("can't create a file beside", path);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  (void)::fchmod(out.get(), 0666 & ~mask);
  auto written = write_all(out.get(), bytes, path);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) written = file_error("can't replace", path);
  if (!written) ::unlink(temporary.c_str());
  return written;
}

Result<void> write_output(const std::string& output, const std::vector<client::ResultPart>& parts) {
  const auto is_text = [](std::span<const std::byte> bytes) {
    return std::ranges::find(bytes.first(std::min<std::size_t>(bytes.size(), 4096)), std::byte{0}) == bytes.end() &&
           std::ranges::none_of(bytes.first(std::min<std::size_t>(bytes.size(), 4096)), [](std::byte b) {
             const auto c = static_cast<unsigned char>(b);
             return c < 0x20 && c != '\n' && c != '\t' && c != '\r';
           });
  };
  if (output == "-") {
    for (const auto& part : parts) {
      if (::isatty(STDOUT_FILENO) != 0 && !is_text(part.bytes())) {
        return usage("the result is binary and standard output is a terminal; give -o FILE, or redirect");
      }
      if (auto written = write_all(STDOUT_FILENO, part.bytes(), "standard output"); !written) return written;
      // on a terminal the prompt should not follow a hash on its line
      if (::isatty(STDOUT_FILENO) != 0 && !part.text().ends_with('\n')) fmt::print("\n");
    }
    return {};
  }
  if (std::filesystem::is_directory(output)) {
    std::size_t number = 0;
    for (const auto& part : parts) {
      std::string name = std::filesystem::path(part.name()).filename().string();
      if (name.empty()) name = fmt::format("part-{}", number);
      ++number;
      if (auto written = replace_file(output + "/" + name, part.bytes()); !written) return written;
    }
    return {};
  }
  if (parts.size() != 1) {
    return usage(fmt::format("the result has {} parts; give an existing directory with -o DIR", parts.size()));
  }
  return replace_file(output, parts.front().bytes());
}

// ---- The job -----------------------------------------------------------------------------------------

void show_progress(const wire::Progress& progress) {
  if (progress.total > 0) {
    fmt::print(stderr, "\r{:3}% ({}/{})", progress.done * 100 / progress.total, progress.done, progress.total);
  } else {
    fmt::print(stderr, "\r{}", progress.done);
  }
  (void)std::fflush(stderr);
}

// SIGINT and SIGTERM cancel the job properly: the server stops it, and we report its answer.
class CancelOnSignal {
 public:
  CancelOnSignal(client::Client& client, std::uint64_t job) {
    thread_ = std::jthread([&client, job](const std::stop_token& stop) {
      sigset_t signals;
      ::sigemptyset(&signals);
      ::sigaddset(&signals, SIGINT);
      ::sigaddset(&signals, SIGTERM);
      ::sigaddset(&signals, SIGUSR1);  // wakes us at the end
      int signal = 0;
      while (!stop.stop_requested() && ::sigwait(&signals, &signal) == 0) {
        if (signal != SIGUSR1) client.cancel(job);
      }
    });
  }
  ~CancelOnSignal() {
    thread_.request_stop();
    ::pthread_kill(thread_.native_handle(), SIGUSR1);
  }

 private:
  std::jthread thread_;
};

Result<client::JobResult> run_job(client::Client& client, const RunArguments& run) {
  client::Job job{.kind = run.kind, .params_json = json::serialize(run.params), .options = run.options};
  for (const std::string& input : run.inputs) {
    auto part = read_input(input);
    if (!part) return part.error();
    job.parts.push_back(std::move(*part));
  }
  if (run.progress) job.on_progress = show_progress;
  std::promise<Result<client::JobResult>> promise;
  auto future = promise.get_future();
  const std::uint64_t number =
      client.submit(std::move(job), [&](Result<client::JobResult> result) { promise.set_value(std::move(result)); });
  const CancelOnSignal cancel(client, number);
  auto result = future.get();
  if (run.progress) fmt::print(stderr, "\n");
  return result;
}

}  // namespace

int report(const Error& error) {
  fmt::print(stderr, "quern: {}\n", to_string(error));
  return exit_code_of(error.code);
}

int run_command(client::Client& client, const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front() == "--help" || arguments.front() == "-h") {
    fmt::print(arguments.empty() ? stderr : stdout, "{}\n{}\n", kRunHelp, kExitCodesHelp);
    return arguments.empty() ? kUsage : kOk;
  }
  const auto document = client.kinds();
  if (!document) return report(document.error());
  const auto kinds = KindTable::parse(*document);
  if (!kinds) return report(kinds.error());
  const auto run = parse_arguments(*kinds, arguments);
  if (!run) return report(run.error());
  if (run->help) {
    KindTable::print_kind(*kinds->find(run->kind));
    return kOk;
  }
  const auto result = run_job(client, *run);
  if (!result) return report(result.error());
  if (const auto written = write_output(run->output, result->parts); !written) return report(written.error());
  return kOk;
}

}  // namespace quern::cli
