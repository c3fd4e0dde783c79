// quern: the command line of clients and operators.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/batch.h"
#include "client/cli/completion.h"
#include "client/cli/document.h"
#include "client/cli/exit_code.h"
#include "client/cli/kinds.h"
#include "client/cli/nearest.h"
#include "client/cli/ping.h"
#include "client/cli/reports.h"
#include "client/cli/run.h"
#include "client/cli/status.h"
#include "client/cli/terminal.h"
#include "client/cli/top.h"
#include "client/client.h"
#include "common/paths.h"

namespace {

using quern::cli::report;
namespace cli = quern::cli;

// An operator should not hang on a server that hangs. A restart takes as long as the running jobs.
constexpr std::chrono::milliseconds kAnswerTimeout = std::chrono::seconds(30);
constexpr std::chrono::milliseconds kNoTimeout{0};

struct Options {
  std::string runtime_dir = quern::default_runtime_dir();
  std::string socket;
  std::string kind;
  std::string pool;
  std::uint32_t workers = 0;
  std::uint64_t job = 0;
  std::string id;  // of an entry in quarantine
  std::uint32_t interval_ms = 1000;
  bool once = false;
  std::uint32_t wait_ms = 0;
  bool json = false;
  bool names = false;

  [[nodiscard]] std::string socket_path(std::string_view name) const {
    return socket.empty() ? fmt::format("{}/{}", runtime_dir, name) : socket;
  }
};

quern::client::Client jobs_client(const Options& options) {
  return quern::client::Client({.socket_path = options.socket_path(quern::kClientSocketName), .name = "quern"});
}

int kinds_command(const Options& options) {
  auto client = jobs_client(options);
  const auto document = client.kinds();
  if (!document) return report(document.error());
  if (options.json) {
    fmt::print("{}\n", *document);
    return cli::kOk;
  }
  const auto kinds = cli::KindTable::parse(*document);
  if (!kinds) return report(kinds.error());
  if (options.names) {
    for (const std::string& name : kinds->names()) fmt::print("{}\n", name);
  } else if (options.kind.empty()) {
    kinds->print_list();
  } else if (const auto* kind = kinds->find(options.kind); kind != nullptr) {
    cli::KindTable::print_kind(*kind);
  } else {
    return report({.code = quern::ErrorCode::kInvalidArgument,
                   .message = fmt::format("this server has no kind '{}'{}", options.kind,
                                          cli::did_you_mean(options.kind, kinds->names())),
                   .field = "kind"});
  }
  return cli::kOk;
}

quern::Result<std::string> ask_operator_socket(const Options& options, quern::wire::AdminOp op,
                                               std::uint64_t value = 0) {
  quern::client::Client client({.socket_path = options.socket_path(quern::kAdminSocketName), .name = "quern"});
  const bool as_long_as_jobs = op == quern::wire::AdminOp::kRestart || op == quern::wire::AdminOp::kQuarantineReplay;
  return client.admin(op, options.pool, value, as_long_as_jobs ? kNoTimeout : kAnswerTimeout);
}

// Asks, and prints the document as it is, or as `report` words it. Null when that failed; `exit_code` says how.
using Report = std::string (*)(const boost::json::object&);
std::optional<boost::json::object> show(const Options& options, quern::wire::AdminOp op, std::uint64_t value,
                                        Report report_of, int& exit_code) {
  const auto answer = ask_operator_socket(options, op, value);
  auto document = answer ? cli::parse_object(*answer) : quern::Result<boost::json::object>(answer.error());
  if (!document) {
    exit_code = report(document.error());
    return std::nullopt;
  }
  fmt::print("{}{}", options.json ? *answer : report_of(*document), options.json ? "\n" : "");
  exit_code = cli::kOk;
  return std::move(*document);
}

std::string cancel_report(const boost::json::object& cancelled) {
  const bool running = cli::text(cancelled, "was") == "running";
  return fmt::format("job {} was {}; {}\n", cli::number(cancelled, "job"), cli::text(cancelled, "was"),
                     running ? "it is asked to stop, and killed after its pool's grace period" : "it is cancelled");
}

std::string released_report(const boost::json::object& answer) {
  const boost::json::value* error = answer.if_contains("error");
  return fmt::format("{}: {}{}\n", cli::text(answer, "id"),
                     error == nullptr ? "" : fmt::format("{}; ", std::string_view(error->as_string())),
                     answer.at("released").as_bool() ? "released" : "it stays in quarantine");
}

int health_command(const Options& options) {
  int exit_code = cli::kOk;
  const auto health = show(options, quern::wire::AdminOp::kHealth, 0, cli::health_report, exit_code);
  return health && !health->at("healthy").as_bool() ? cli::kBusy : exit_code;
}

int quarantine_command(const Options& options, quern::wire::AdminOp op, Report report_of) {
  std::uint64_t id = 0;
  const std::string& text = options.id;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (op != quern::wire::AdminOp::kQuarantineList &&
      (read.ec != std::errc{} || read.ptr != text.data() + text.size() || text.empty())) {
    return report(
        {.code = quern::ErrorCode::kInvalidArgument,
         .message = fmt::format("an id is 16 hexadecimal digits, as `quern quarantine ls` shows them (got '{}')",
                                cli::printable(text)),
         .field = "id"});
  }
  int exit_code = cli::kOk;
  const auto answer = show(options, op, id, report_of, exit_code);
  if (op != quern::wire::AdminOp::kQuarantineReplay || !answer || !answer->contains("error")) return exit_code;
  return answer->at("released").as_bool() ? cli::kJobError : cli::kCrashed;
}

int status_command(const Options& options) {
  const auto document = ask_operator_socket(options, quern::wire::AdminOp::kStatus);
  if (!document) return report(document.error());
  if (options.names) {
    const auto status = boost::json::parse(*document);
    for (const auto& pool : status.at("pools").as_array()) fmt::print("{}\n", std::string(pool.at("name").as_string()));
    return cli::kOk;
  }
  if (options.json) {
    fmt::print("{}\n", *document);
    return cli::kOk;
  }
  const auto printed = cli::print_status(*document);
  return printed ? cli::kOk : report(printed.error());
}

int pool_command(const Options& options, quern::wire::AdminOp op) {
  const auto answer = ask_operator_socket(options, op, options.workers);
  if (!answer) return report(answer.error());
  if (options.json) {
    fmt::print("{}\n", *answer);
    return cli::kOk;
  }
  const auto printed = cli::print_pool_answer(*answer);
  return printed ? cli::kOk : report(printed.error());
}

int ping_command(const Options& options) {
  const auto answered =
      cli::ping(options.socket_path(quern::kClientSocketName), std::chrono::milliseconds(options.wait_ms));
  if (!answered) return report(answered.error());
  fmt::print("ok\n");
  return cli::kOk;
}

void add_pool_command(CLI::App& app, Options& options, const char* name, const char* help, quern::wire::AdminOp op,
                      int& exit_code) {
  auto* command = app.add_subcommand(name, help);
  command->add_option("pool", options.pool, "the pool's name")->required();
  if (op == quern::wire::AdminOp::kResize) {
    command->add_option("workers", options.workers, "how many workers")->required();
  }
  command->add_flag("--json", options.json, "as the server's JSON document");
  command->callback([&options, &exit_code, op] { exit_code = pool_command(options, op); });
}

void add_clients_commands(CLI::App& app, Options& options, int& exit_code) {
  auto* run = app.add_subcommand("run", "run one job: quern run KIND [--PARAM VALUE ...] [INPUT ...] [-o OUTPUT]");
  run->prefix_command();
  run->set_help_flag();
  run->callback([&options, &exit_code, run] {
    auto client = jobs_client(options);
    exit_code = cli::run_command(client, run->remaining());
  });
  auto* batch = app.add_subcommand("batch", "run a job for each of many files: quern batch KIND INPUT ... --to DIR");
  batch->prefix_command();
  batch->set_help_flag();
  batch->callback([&options, &exit_code, batch] {
    auto client = jobs_client(options);
    exit_code = cli::batch_command(client, batch->remaining());
  });
  auto* kinds = app.add_subcommand("kinds", "list the kinds of jobs with their parameters");
  kinds->add_option("kind", options.kind, "only this one");
  kinds->add_flag("--json", options.json, "as the server's JSON document");
  kinds->add_flag("--names", options.names, "only the names");
  kinds->callback([&options, &exit_code] { exit_code = kinds_command(options); });
  auto* ping = app.add_subcommand("ping", "ask the server for a sign of life");
  ping->add_option("--wait-ms", options.wait_ms, "wait this long for it to start");
  ping->callback([&options, &exit_code] { exit_code = ping_command(options); });
}

void add_operators_commands(CLI::App& app, Options& options, int& exit_code) {
  using quern::wire::AdminOp;
  auto* status = app.add_subcommand("status", "show pools, workers and counts");
  status->add_flag("--json", options.json, "as the server's JSON document");
  status->add_flag("--pools", options.names, "only the pools' names");
  status->callback([&options, &exit_code] { exit_code = status_command(options); });
  add_pool_command(app, options, "resize", "change a pool's number of workers", AdminOp::kResize, exit_code);
  add_pool_command(app, options, "drain", "finish accepted jobs, refuse new ones", AdminOp::kDrain, exit_code);
  add_pool_command(app, options, "pause", "accept and queue jobs, start none", AdminOp::kPause, exit_code);
  add_pool_command(app, options, "resume", "undo drain or pause", AdminOp::kResume, exit_code);
  add_pool_command(app, options, "restart", "replace the pool's workers one by one; returns when done",
                   AdminOp::kRestart, exit_code);
}

void add_watching_commands(CLI::App& app, Options& options, int& exit_code) {
  using quern::wire::AdminOp;
  auto* top = app.add_subcommand("top", "watch pools, workers and clients; q quits");
  top->add_option("--interval-ms", options.interval_ms, "between two looks")->check(CLI::Range(50, 3'600'000));
  top->add_flag("--once", options.once, "one look, as when the output is no terminal");
  top->callback([&options, &exit_code] {
    const auto shown = cli::run_top({.interval = std::chrono::milliseconds(options.interval_ms), .once = options.once},
                                    [&options] { return ask_operator_socket(options, AdminOp::kStatus); });
    exit_code = shown ? cli::kOk : report(shown.error());
  });
  auto* jobs = app.add_subcommand("jobs", "list the jobs that are queued and running");
  jobs->add_flag("--json", options.json, "as the server's JSON document");
  jobs->callback([&options, &exit_code] { (void)show(options, AdminOp::kJobs, 0, cli::jobs_report, exit_code); });
  auto* buffers = app.add_subcommand("buffers", "list the shared buffers");
  buffers->add_flag("--json", options.json, "as the server's JSON document");
  buffers->callback(
      [&options, &exit_code] { (void)show(options, AdminOp::kBuffers, 0, cli::buffers_report, exit_code); });
  auto* cancel = app.add_subcommand("cancel", "end a job, whosever it is");
  cancel->add_option("job", options.job, "its number, as `quern jobs` shows it")->required();
  cancel->add_flag("--json", options.json, "as the server's JSON document");
  cancel->callback(
      [&options, &exit_code] { (void)show(options, AdminOp::kCancel, options.job, cancel_report, exit_code); });
  auto* health = app.add_subcommand("health", "run a job through each pool; fails when one can't do its work");
  health->add_option("pool", options.pool, "only this one");
  health->add_flag("--json", options.json, "as the server's JSON document");
  health->callback([&options, &exit_code] { exit_code = health_command(options); });
}

void add_quarantine_commands(CLI::App& app, Options& options, int& exit_code) {
  using quern::wire::AdminOp;
  auto* quarantine = app.add_subcommand("quarantine", "contents that kill workers: ls, show, release, replay");
  quarantine->require_subcommand(1);
  struct Command {
    const char* name;
    const char* help;
    AdminOp op;
    Report report_of;
  };
  for (const Command& each :
       {Command{"ls", "list them", AdminOp::kQuarantineList, cli::quarantine_report},
        Command{"show", "one of them, with its last deaths", AdminOp::kQuarantineShow, cli::quarantine_entry_report},
        Command{"release", "take such jobs again", AdminOp::kQuarantineRelease, released_report},
        Command{"replay", "run its job once more; release it when its worker lives", AdminOp::kQuarantineReplay,
                released_report}}) {
    auto* command = quarantine->add_subcommand(each.name, each.help);
    if (each.op != AdminOp::kQuarantineList) command->add_option("id", options.id, "as ls shows it")->required();
    command->add_flag("--json", options.json, "as the server's JSON document");
    command->callback(
        [&options, &exit_code, each] { exit_code = quarantine_command(options, each.op, each.report_of); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("quern - run jobs on the local Quern server, and operate it");
  Options options;
  int exit_code = cli::kOk;
  app.add_option("--runtime-dir", options.runtime_dir, "where the server's sockets are")->capture_default_str();
  app.add_option("--socket", options.socket, "one socket's path, instead");
  app.set_version_flag("--version", QUERN_VERSION);
  app.footer(cli::kExitCodesHelp);
  app.require_subcommand(1);

  add_clients_commands(app, options, exit_code);
  add_operators_commands(app, options, exit_code);
  add_watching_commands(app, options, exit_code);
  add_quarantine_commands(app, options, exit_code);
  std::string shell;
  auto* completion = app.add_subcommand("completion", "print the shell completion script");
  completion->add_option("shell", shell, "bash")->required()->check(CLI::IsMember({"bash"}));
  completion->callback([&] { fmt::print("{}", cli::kBashCompletion); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? cli::kOk : cli::kUsage;
  } catch (const std::exception& failure) {  // a member is missing in a document of the server's
    return report({.code = quern::ErrorCode::kProtocolError,
                   .message = fmt::format("the server's answer is not understood: {}", failure.what())});
  }
  return exit_code;
}
