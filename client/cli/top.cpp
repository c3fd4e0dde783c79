#include "client/cli/top.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <iterator>
#include <optional>
#include <utility>

#include "client/cli/document.h"
#include "client/cli/screen.h"

namespace quern::cli {
namespace {

namespace json = boost::json;
using Lines = std::vector<std::string>;

const json::object* pool_named(const json::object* status, std::string_view name) {
  if (status == nullptr) return nullptr;
  for (const json::value& pool : status->at("pools").as_array()) {
    if (text(pool.as_object(), "name") == name) return &pool.as_object();
  }
  return nullptr;
}

// "812.0/s", or nothing when there is nothing to compare with.
std::string rate(const json::object& now, const json::object* before, std::string_view key,
                 std::chrono::milliseconds elapsed) {
  if (before == nullptr || elapsed.count() <= 0) return "";
  const auto done = static_cast<double>(number(now, key) - number(*before, key));
  return fmt::format("{:.1f}/s", done * 1000 / static_cast<double>(elapsed.count()));
}

void add_pools(Lines& lines, const json::object& status, const json::object* previous,
               std::chrono::milliseconds elapsed) {
  lines.push_back(fmt::format("{:<12} {:<9} {:>9} {:>7} {:>10} {:>11} {:>8} {:>7} {:>8} {:>6} {:>8} {:>22}  {}", "POOL",
                              "STATE", "BUSY/ALL", "QUEUED", "DONE/S", "DONE", "FAILED", "DEATHS", "RECYCLED", "SLOW",
                              "BACKOFF", "RESERVED", "LAST DEATH"));
  for (const json::value& each : status.at("pools").as_array()) {
    const json::object& pool = each.as_object();
    const json::array& workers = pool.at("workers").as_array();
    const auto busy =
        std::ranges::count_if(workers, [](const json::value& w) { return text(w.as_object(), "state") == "busy"; });
    std::int64_t deaths = 0;
    for (const auto& [cause, count] : pool.at("deaths").as_object()) deaths += count.to_number<std::int64_t>();
    const json::value* last = pool.if_contains("last_death");
    lines.push_back(
        fmt::format("{:<12} {:<9} {:>9} {:>7} {:>10} {:>11} {:>8} {:>7} {:>8} {:>6} {:>8} {:>22}  {}",
                    text(pool, "name"), text(pool, "state"), fmt::format("{}/{}", busy, workers.size()),
                    number(pool, "queued"), rate(pool, pool_named(previous, text(pool, "name")), "succeeded", elapsed),
                    number(pool, "succeeded"), number(pool, "failed"), deaths, number(pool, "recycled"),
                    number(pool, "slow"), number(pool, "backoff_ms") == 0 ? "" : duration(number(pool, "backoff_ms")),
                    memory_text(pool), last == nullptr ? "" : text(last->as_object(), "cause")));
  }
}

void add_workers(Lines& lines, const json::object& status) {
  struct Row {
    const json::object* worker;
    std::string_view pool;
    std::int64_t running_ms;
  };
  std::vector<Row> rows;
  for (const json::value& pool : status.at("pools").as_array()) {
    for (const json::value& worker : pool.at("workers").as_array()) {
      const json::value* job = worker.as_object().if_contains("job");
      rows.push_back({&worker.as_object(), text(pool.as_object(), "name"),
                      job == nullptr ? -1 : number(job->as_object(), "running_ms")});
    }
  }
  std::ranges::stable_sort(rows, std::greater{}, &Row::running_ms);
  lines.push_back(fmt::format("{:>8} {:<12} {:<9} {:>10} {:>9} {:>9}  {}", "WORKER", "POOL", "STATE", "RSS", "DONE",
                              "ELAPSED", "JOB"));
  for (const Row& row : rows) {
    const json::value* job = row.worker->if_contains("job");
    lines.push_back(fmt::format(
        "{:>8} {:<12} {:<9} {:>10} {:>9} {:>9}  {}", number(*row.worker, "pid"), row.pool, text(*row.worker, "state"),
        size_text(number(*row.worker, "rss_bytes")), number(*row.worker, "jobs_done"),
        job == nullptr ? "" : duration(row.running_ms),
        job == nullptr ? "" : fmt::format("{} {}", number(job->as_object(), "id"), text(job->as_object(), "kind"))));
  }
}

// Of all sorts; UNREAD is a part of it.
std::int64_t memory_held(const json::object& client) {
  return number(client, "payload_bytes") + number(client, "buffer_bytes") + number(client, "unread_bytes");
}

void add_clients(Lines& lines, const json::object& status) {
  std::vector<const json::object*> clients;
  for (const json::value& client : status.at("connections").as_array()) clients.push_back(&client.as_object());
  std::ranges::stable_sort(clients, std::greater{}, [](const json::object* client) { return number(*client, "jobs"); });
  lines.push_back(fmt::format("{:>8} {:>8} {:>8} {:<9} {:>6} {:>6} {:>10} {:>10} {:>9}  {}", "CLIENT", "PID", "UID",
                              "ROLE", "JOBS", "FDS", "MEMORY", "UNREAD", "SINCE", "NAME"));
  for (const json::object* client : clients) {
    lines.push_back(fmt::format("{:>8} {:>8} {:>8} {:<9} {:>6} {:>6} {:>10} {:>10} {:>9}  {}", number(*client, "id"),
                                number(*client, "pid"), number(*client, "uid"), text(*client, "role"),
                                number(*client, "jobs"), number(*client, "descriptors"),
                                size_text(memory_held(*client)), size_text(number(*client, "unread_bytes")),
                                duration(number(*client, "connected_ms")), printable(text(*client, "name"))));
  }
}

void print(const Lines& lines) {
  for (const std::string& line : lines) fmt::print("{}\n", line);
}

}  // namespace

Lines render_top(const json::object& status, const json::object* previous, std::chrono::milliseconds elapsed,
                 TerminalSize size) {
  const json::object& jobs = status.at("jobs").as_object();
  const json::object& memory = status.at("memory").as_object();
  Lines lines;
  lines.push_back(
      fmt::format("quernd {} {}, up {}; memory {} of at most {}; {} clients; {} queued, {} running {}",
                  text(status, "version"), text(status, "state"), duration(number(status, "uptime_ms")),
                  size_text(number(memory, "rss_bytes")), size_text(number(memory, "ceiling_bytes")),
                  number(status, "clients"), number(jobs, "queued"), number(jobs, "running"),
                  rate(jobs, previous == nullptr ? nullptr : &previous->at("jobs").as_object(), "succeeded", elapsed)));
  lines.emplace_back();
  add_pools(lines, status, previous, elapsed);
  lines.emplace_back();
  add_workers(lines, status);
  lines.emplace_back();
  add_clients(lines, status);
  if (lines.size() > size.rows) lines.resize(size.rows);
  for (std::string& line : lines) {
    line.resize(std::min(line.size(), size.columns));
    line.erase(line.find_last_not_of(' ') + 1);
  }
  return lines;
}

Result<void> run_top(const TopOptions& options, const std::function<Result<std::string>()>& ask) {
  if (options.once || !Screen::possible()) {
    const auto document = ask();
    if (!document) return document.error();
    const auto status = parse_object(*document);
    if (!status) return status.error();
    print(render_top(*status, nullptr, {}, {}));
    return {};
  }
  Screen screen;
  std::optional<json::object> previous;
  auto asked_at = std::chrono::steady_clock::now();
  do {
    const auto now = std::chrono::steady_clock::now();
    const auto document = ask();
    auto status = document ? parse_object(*document) : Result<json::object>(document.error());
    if (!status) {
      previous.reset();
      screen.draw({fmt::format("{}; trying again, q quits", to_string(status.error()))});
      continue;
    }
    const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - asked_at);
    screen.draw(render_top(*status, previous ? &*previous : nullptr, elapsed, screen.size()));
    previous = std::move(*status);
    asked_at = now;
  } while (screen.wait(options.interval));
  return {};
}

}  // namespace quern::cli
