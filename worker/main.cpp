// quern-worker: a pool's template process, executed by quernd and by nobody else.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <utility>

#include "common/sanitizer.h"
#include "worker/template.h"

#if QUERN_ADDRESS_SANITIZER
// When a module calls exit(), the leak checker would start a tracer, which the sandbox answers with death.
// Templates and workers themselves end by _exit, where it never looks.
extern "C" int __lsan_is_turned_off() { return 1; }  // NOLINT(bugprone-reserved-identifier): the sanitizer's name
#endif

int main(int argc, char** argv) {
  CLI::App app("quern-worker - a pool's template process; quernd starts it");
  quern::worker::TemplateOptions options;
  int control_fd = -1;
  app.add_option("--pool", options.pool)->required();
  app.add_option("--control-fd", control_fd, "a SOCK_SEQPACKET socket to the supervisor")->required();
  app.add_option("--module", options.modules, "a job module's path")->required();
  app.add_option("--supervisor-pid", options.supervisor_pid)->required();
  app.add_option("--memory-bytes-max", options.memory_bytes_max, "address space of a worker beyond the template's");
  bool allow_processes = false;
  app.add_flag("--allow-processes", allow_processes, "jobs may start programs");
  CLI11_PARSE(app, argc, argv);
  options.control.reset(control_fd);
  if (allow_processes) options.processes = quern::worker::Processes::kAllowed;
  const int exit_code = quern::worker::run_template(std::move(options));
  // a forked worker must not run its template's atexit handlers
  (void)std::fflush(nullptr);
  ::_exit(exit_code);
}
