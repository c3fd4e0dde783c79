// TemplateProcess: the supervisor's end of a pool's template, the process that has loaded the pool's
// job modules and forks its workers (worker/template.h is the other end; ipc/control.h the messages,
// with the table of what happens when it dies at each point).
//
//     start() -> load() reads the kinds -> mind() serves births until the process ends
//
// Destroy only after mind() has ended (or was never begun). One thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "ipc/control.h"
#include "supervisor/process.h"
#include "supervisor/worker.h"

namespace quern::supervisor {

struct TemplateOptions {
  std::string pool;
  std::string worker_path;
  std::vector<std::string> module_paths;
  std::uint64_t memory_bytes_max = 0;  // of each worker; 0: no limit
  bool processes = false;              // jobs may start programs, see supervisor/process_tree.h
};

struct LoadedKind {
  std::string name;
  std::string description_json;
  bool sensitive = false;
  bool canary = false;  // the health kind, health.<pool>: runs the canaries of the others in a worker
  friend bool operator==(const LoadedKind&, const LoadedKind&) = default;
};

class TemplateEvents {
 public:
  virtual void on_spawned(std::uint64_t incarnation, pid_t pid, unique_fd pidfd) = 0;
  virtual void on_spawn_failed(std::uint64_t incarnation, int error_number) = 0;
  // The answer to request_symbols.
  virtual void on_symbols(std::uint64_t id, std::vector<std::string> lines) = 0;

 protected:
  ~TemplateEvents() = default;
};

class TemplateProcess {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TemplateProcess>> start(boost::asio::io_context& io,
                                                                      ChildRegistry& registry,
                                                                      const TemplateOptions& options);

  // Waits until the modules are loaded. An Error carries the template's own words.
  [[nodiscard]] boost::asio::awaitable<Result<std::vector<LoadedKind>>> load();

  // Hands births to `events` until the process is gone; returns how it went. Once, after load().
  [[nodiscard]] boost::asio::awaitable<Cause> mind(TemplateEvents& events);

  // Asks for a worker; on_spawned or on_spawn_failed follows, unless the template dies.
  [[nodiscard]] Result<void> request_spawn(Worker& worker);

  // Asks for the names of code addresses of a worker of this template; on_symbols follows with a line each, unless
  // the template dies.
  [[nodiscard]] Result<void> request_symbols(std::uint64_t id, std::span<const std::uint64_t> addresses);

  void kill() noexcept { process_.kill(9); }
  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }

 private:
  TemplateProcess(boost::asio::io_context& io, ChildRegistry& registry, Spawned spawned, unique_fd control);
  [[nodiscard]] Result<void> request(const ipc::ControlHeader& header, ipc::ByteSpan body, std::span<const int> fds);
  [[nodiscard]] boost::asio::awaitable<Result<ipc::IoStatus>> receive();
  [[nodiscard]] boost::asio::awaitable<void> serve(TemplateEvents& events);

  boost::asio::posix::stream_descriptor control_;
  ipc::ControlMessage message_;
  Process process_;
};

}  // namespace quern::supervisor
