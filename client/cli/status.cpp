#include "client/cli/status.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>

#include "client/cli/document.h"

namespace quern::cli {
namespace {

namespace json = boost::json;

std::string death_counts(const json::object& pool) {
  std::string words;
  for (const auto& [cause, count] : pool.at("deaths").as_object()) {
    words +=
        fmt::format("{}{} {}", words.empty() ? "" : ", ", std::string_view(cause), count.to_number<std::int64_t>());
  }
  return words.empty() ? "none" : words;
}

void print_pool(const json::object& pool) {
  const json::array& workers = pool.at("workers").as_array();
  fmt::print("{:<12} {:<9} {:>3}/{:<3} {:>7} {:>8} {:>11} {:>8} {:>8} {:>22}  {}\n", text(pool, "name"),
             text(pool, "state"), workers.size(), number(pool, "workers_target"), number(pool, "queued"),
             number(pool, "running"), number(pool, "succeeded"), number(pool, "failed"), number(pool, "retried"),
             memory_text(pool), death_counts(pool));
}

void print_workers(const json::object& pool) {
  for (const json::value& each : pool.at("workers").as_array()) {
    const json::object& worker = each.as_object();
    std::string job;
    if (const json::value* running = worker.if_contains("job"); running != nullptr) {
      const json::object& object = running->as_object();
      job = fmt::format("job {} {} for {}", number(object, "id"), text(object, "kind"),
                        duration(number(object, "running_ms")));
      if (object.at("waits_for_memory").as_bool()) {
        job += fmt::format(", waits for {}", size_text(number(object, "memory_bytes")));
      }
    }
    fmt::print("  {:<10} pid {:<8} {:<9} {:>9} done  {}\n", text(pool, "name"), number(worker, "pid"),
               text(worker, "state"), number(worker, "jobs_done"), job);
  }
  if (const json::value* last = pool.if_contains("last_death"); last != nullptr) {
    const json::object& death = last->as_object();
    fmt::print("  {:<10} last death: pid {}, {}; replaced in {:.1f} ms\n", text(pool, "name"), number(death, "pid"),
               text(death, "cause"), static_cast<double>(number(pool, "respawn_us_last")) / 1000);
  }
}

}  // namespace

Result<void> print_pool_answer(std::string_view document) {
  const auto pool = parse_object(document);
  if (!pool) return pool.error();
  fmt::print("pool {}: {}, {} workers wanted, {} jobs queued, {} running\n", text(*pool, "pool"), text(*pool, "state"),
             number(*pool, "workers_target"), number(*pool, "queued"), number(*pool, "running"));
  return {};
}

Result<void> print_status(std::string_view document) {
  const auto parsed = parse_object(document);
  if (!parsed) return parsed.error();
  const json::object& status = *parsed;
  const json::object& jobs = status.at("jobs").as_object();
  fmt::print(
      "quernd {} {}, pid {}, up {}, {} clients; jobs: {} accepted, {} succeeded, {} failed, {} queued, {} running\n",
      text(status, "version"), text(status, "state"), number(status, "pid"), duration(number(status, "uptime_ms")),
      number(status, "clients"), number(jobs, "accepted"), number(jobs, "succeeded"), number(jobs, "failed"),
      number(jobs, "queued"), number(jobs, "running"));
  const json::object& memory = status.at("memory").as_object();
  fmt::print("memory: {} of at most {}\n\n", size_text(number(memory, "rss_bytes")),
             size_text(number(memory, "ceiling_bytes")));
  fmt::print("{:<12} {:<9} {:>7} {:>7} {:>8} {:>11} {:>8} {:>8} {:>22}  {}\n", "POOL", "STATE", "WORKERS", "QUEUED",
             "RUNNING", "SUCCEEDED", "FAILED", "RETRIED", "RESERVED", "DEATHS");
  for (const json::value& pool : status.at("pools").as_array()) print_pool(pool.as_object());
  fmt::print("\n");
  for (const json::value& pool : status.at("pools").as_array()) print_workers(pool.as_object());
  return {};
}

}  // namespace quern::cli
