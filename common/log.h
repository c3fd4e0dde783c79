// Structured logs: one line per event that an operator would look for, none per job.
//
//     2026-11-23T06:50:24.123Z warn event=worker_died pool=image pid=4711 cause="signal 11 (SIGSEGV)"
//     {"time":"2026-11-23T06:50:24.123Z","level":"warn","event":"worker_died","pool":"image",...}
//
// Lines go to standard error. When that is systemd's journal ($JOURNAL_STREAM names it) each begins with
// sd-daemon's priority, "<4>", and text lines leave time and level to the journal. docs/operations.md
// lists the events.
//
// configure_log is called once, before threads; log_event may be called from any thread.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace quern {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson };

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
};

void configure_log(const LogConfig& config);

// A name and its value, formatted by {fmt}. Numbers stay numbers in JSON.
class LogField {
 public:
  template <class T>
  LogField(std::string_view name, const T& value)
      : name_(name),
        value_(fmt::format("{}", value)),
        is_number_(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {}
  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] std::string_view value() const noexcept { return value_; }
  [[nodiscard]] bool is_number() const noexcept { return is_number_; }

 private:
  std::string_view name_;
  std::string value_;
  bool is_number_;
};

// `event` is a stable word, "worker_died".
void log_event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);

// One line without its time and level, as log_event writes it. For tests.
[[nodiscard]] std::string format_event(LogFormat format, std::string_view event,
                                       std::initializer_list<LogField> fields);

}  // namespace quern
