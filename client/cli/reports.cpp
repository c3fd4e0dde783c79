#include "client/cli/reports.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <iterator>

#include "client/cli/document.h"

namespace quern::cli {

namespace json = boost::json;

std::string jobs_report(const json::object& jobs) {
  const json::array& listed = jobs.at("jobs").as_array();
  if (listed.empty()) return "no jobs are queued or running\n";
  std::string report = fmt::format("{:>10}  {:<10} {:<20} {:<8} {:>8} {:>8} {:>4} {:>4} {:>7} {:>10} {:>8}\n", "JOB",
                                   "POOL", "KIND", "STATE", "AGE", "RUNNING", "PRI", "TRY", "CLIENT", "BYTES", "PID");
  const auto out = std::back_inserter(report);
  for (const json::value& each : listed) {
    const json::object& job = each.as_object();
    const bool running = job.contains("running_ms");
    fmt::format_to(out, "{:>10}  {:<10} {:<20} {:<8} {:>8} {:>8} {:>4} {:>4} {:>7} {:>10} {:>8}\n", number(job, "id"),
                   text(job, "pool"), text(job, "kind"), job.contains("stopping") ? "stopping" : text(job, "state"),
                   duration(number(job, "age_ms")), running ? duration(number(job, "running_ms")) : "",
                   number(job, "priority"), number(job, "attempt"), number(job, "client"),
                   size_text(number(job, "bytes")), running ? std::to_string(number(job, "pid")) : "");
  }
  const auto more = static_cast<std::size_t>(number(jobs, "total")) - listed.size();
  if (more > 0) fmt::format_to(out, "... and {} more\n", more);
  return report;
}

std::string buffers_report(const json::object& buffers) {
  const json::array& listed = buffers.at("buffers").as_array();
  if (listed.empty()) return "there are no shared buffers\n";
  std::string report = fmt::format("{:>16}  {:<24} {:>10} {:>7} {:<10} {:>7} {:>5} {:>8}\n", "ID", "NAME", "BYTES",
                                   "UID", "ACCESS", "CLIENTS", "JOBS", "AGE");
  const auto out = std::back_inserter(report);
  for (const json::value& each : listed) {
    const json::object& buffer = each.as_object();
    const std::string_view name = text(buffer, "name");
    const std::string access =
        buffer.contains("gid") ? fmt::format("group {}", number(buffer, "gid")) : std::string(text(buffer, "access"));
    fmt::format_to(out, "{:>16x}  {:<24} {:>10} {:>7} {:<10} {:>7} {:>5} {:>8}\n", number(buffer, "id"),
                   name.empty() ? "-" : name, size_text(number(buffer, "bytes")), number(buffer, "uid"), access,
                   number(buffer, "clients"), number(buffer, "jobs"), duration(number(buffer, "age_ms")));
  }
  fmt::format_to(out, "{} in all\n", size_text(number(buffers, "bytes")));
  return report;
}

std::string health_report(const json::object& health) {
  std::string report;
  for (const json::value& each : health.at("pools").as_array()) {
    const json::object& pool = each.as_object();
    const bool healthy = pool.at("healthy").as_bool();
    fmt::format_to(std::back_inserter(report), "{:<12} {:<7} {:<9} {:>9.1f} ms  {}\n", text(pool, "pool"),
                   healthy ? "ok" : "FAILED", text(pool, "state"), static_cast<double>(number(pool, "took_us")) / 1000,
                   healthy ? "" : text(pool, "error"));
  }
  return report;
}

std::string quarantine_report(const json::object& quarantine) {
  const json::array& entries = quarantine.at("entries").as_array();
  if (entries.empty()) return "nothing is in quarantine\n";
  std::string report = fmt::format("{:<16}  {:<11} {:<20} {:>6} {:>7} {:>10}  {:<20}  {}\n", "ID", "STATE", "KIND",
                                   "DEATHS", "REFUSED", "BYTES", "LAST DEATH", "BY");
  for (const json::value& each : entries) {
    const json::object& entry = each.as_object();
    fmt::format_to(std::back_inserter(report), "{:<16}  {:<11} {:<20} {:>6} {:>7} {:>10}  {:<20}  {}\n",
                   text(entry, "id"), text(entry, "state"), text(entry, "kind"), number(entry, "deaths"),
                   number(entry, "refused"), size_text(number(entry, "bytes")), utc_time(number(entry, "last_unix_ms")),
                   text(entry, "last_cause"));
  }
  return report;
}

std::string quarantine_entry_report(const json::object& entry) {
  std::string report = fmt::format("{} {}, {}: {} deaths, refused {} times, {} of parameters and payload{}\n",
                                   text(entry, "id"), text(entry, "kind"), text(entry, "state"),
                                   number(entry, "deaths"), number(entry, "refused"), size_text(number(entry, "bytes")),
                                   entry.at("replayable").as_bool() ? "" : "; not kept, so it can't be replayed");
  for (const json::value& each : entry.at("last_deaths").as_array()) {
    const json::object& death = each.as_object();
    fmt::format_to(std::back_inserter(report), "  {}  job {}, worker {}: {}\n", utc_time(number(death, "unix_ms")),
                   number(death, "job"), number(death, "worker_pid"), text(death, "cause"));
  }
  return report;
}

}  // namespace quern::cli
