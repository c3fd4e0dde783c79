// quernd: the supervisor's command line. Exit codes: 0 a clean end, 1 a failure at run time or start,
// 2 a wrong command line or configuration.
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "common/log.h"
#include "supervisor/config.h"
#include "supervisor/server.h"

namespace {

using quern::Error;
using quern::Result;

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

// Every client, worker and large payload is a descriptor: take all that the administrator allows.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(quern::supervisor::Config config) {
  quern::supervisor::ChildRegistry children;  // outlives the loop: what still waits in it may hold processes
  boost::asio::io_context io(1);              // one thread: no locking inside Asio
  quern::supervisor::Server server(io, children, std::move(config));
  int exit_code = 0;
  boost::asio::co_spawn(io, server.run(), [&](std::exception_ptr failure, Result<void> ended) {
    if (failure) std::rethrow_exception(failure);
    if (!ended) {
      quern::log_event(quern::LogLevel::kError, "start_failed", {{"reason", to_string(ended.error())}});
      exit_code = ended.error().code == quern::ErrorCode::kInvalidArgument ? kExitUsage : kExitFailure;
    }
    io.stop();
  });
  io.run();
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("quernd - a job server for CPU-heavy work");
  std::string config_path;
  std::string runtime_dir;
  bool check = false;
  app.add_option("-c,--config", config_path,
                 "TOML configuration file; without one, pools hash and image with a worker a core");
  app.add_flag("--check-config", check, "read the configuration, say what is wrong with it, and exit");
  app.add_option("--runtime-dir", runtime_dir,
                 "directory of the sockets (default: $RUNTIME_DIRECTORY, or /run/quern for root)");
  app.set_version_flag("--version", QUERN_VERSION);
  app.footer("Exit codes: 0 clean end, 1 failure, 2 wrong command line or configuration.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }

  auto config = config_path.empty() ? Result<quern::supervisor::Config>(quern::supervisor::default_config())
                                    : quern::supervisor::load_config(config_path);
  if (!config) {
    fmt::print(stderr, "quernd: {}\n", config.error().message);
    return kExitUsage;
  }
  if (!runtime_dir.empty()) config->runtime_dir = runtime_dir;
  if (check) {
    fmt::print("{}: ok, {} pools\n", config_path.empty() ? "built-in configuration" : config_path,
               config->pools.size());
    return 0;
  }
  quern::configure_log(config->log);
  raise_descriptor_limit();
  ::signal(SIGPIPE, SIG_IGN);
  // nobody else's process of this user may read passwords out of our memory
  ::prctl(PR_SET_DUMPABLE, 0);
  try {
    return serve(std::move(*config));
  } catch (const std::exception& failure) {
    // a broken invariant: the workers die with us, systemd starts us again
    quern::log_event(quern::LogLevel::kError, "supervisor_failed", {{"reason", std::string(failure.what())}});
    return kExitFailure;
  }
}
