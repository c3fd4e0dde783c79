#include "common/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

namespace quern {
namespace {

LogFormat& configured_format() {
  static LogFormat format = LogFormat::kText;  // set once by configure_log
  return format;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kError: break;
  }
  return spdlog::level::err;
}

// A flag of the pattern that writes one of four words by the line's level.
class LevelWord final : public spdlog::custom_flag_formatter {
 public:
  using Words = std::array<std::string_view, 4>;  // debug, info, warn, error
  explicit LevelWord(const Words& words) : words_(words) {}
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/, spdlog::memory_buf_t& out) override {
    const std::string_view word = message.level == spdlog::level::debug  ? words_[0]
                                  : message.level == spdlog::level::info ? words_[1]
                                  : message.level == spdlog::level::warn ? words_[2]
                                                                         : words_[3];
    out.append(word.data(), word.data() + word.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return spdlog::details::make_unique<LevelWord>(words_);
  }

 private:
  Words words_;
};

constexpr LevelWord::Words kPriorities{"<7>", "<6>", "<4>", "<3>"};  // sd-daemon(3)
constexpr LevelWord::Words kLevels{"debug", "info", "warn", "error"};

// Whether standard error is the journal itself, and not a file that something started by systemd writes
// to: JOURNAL_STREAM is "DEVICE:INODE" (systemd.exec(5)).
bool writes_to_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
  return fmt::format("{}:{}", info.st_dev, info.st_ino) == stream;
}

// As JSON strings and logfmt's quoted values are written; control characters never reach a terminal.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

bool needs_quotes(std::string_view text) {
  return text.empty() || std::ranges::any_of(text, [](char c) {
           return c == ' ' || c == '"' || c == '=' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

}  // namespace

void configure_log(const LogConfig& config) {
  configured_format() = config.format;
  const bool journal = writes_to_journal();
  auto logger = std::make_shared<spdlog::logger>("quern", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<LevelWord>('*', kPriorities).add_flag<LevelWord>('&', kLevels);
  const std::string prefix = journal ? "%*" : "";
  if (config.format == LogFormat::kJson) {
    formatter->set_pattern(prefix + R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%&",%v})");
  } else {
    formatter->set_pattern(prefix + (journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%eZ %& %v"));
  }
  logger->set_formatter(std::move(formatter));
  logger->set_level(to_spdlog(config.level));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

std::string format_event(LogFormat format, std::string_view event, std::initializer_list<LogField> fields) {
  const bool json = format == LogFormat::kJson;
  std::string line = json ? fmt::format("\"event\":\"{}\"", event) : fmt::format("event={}", event);
  for (const LogField& field : fields) {
    line += json ? fmt::format(",\"{}\":", field.name()) : fmt::format(" {}=", field.name());
    if (json ? field.is_number() : !needs_quotes(field.value())) {
      line += field.value();
    } else {
      append_quoted(line, field.value());
    }
  }
  return line;
}

void log_event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  const auto at = to_spdlog(level);
  if (!spdlog::default_logger_raw()->should_log(at)) return;
  spdlog::default_logger_raw()->log(at, spdlog::string_view_t(format_event(configured_format(), event, fields)));
}

}  // namespace quern
