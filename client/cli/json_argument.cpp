#include "client/cli/json_argument.h"

#include <errno.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/stream_parser.hpp>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

namespace quern::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kFileBytesMax = 1U << 20;  // the server takes 64 KiB, and says so

Error refusal(std::string_view param, const std::string& message) {
  return Error{.code = ErrorCode::kInvalidArgument, .message = message, .field = std::string(param)};
}

Result<std::string> read_file(std::string_view param, const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  const auto unreadable = [&] {
    return refusal(param, fmt::format("--{} can't be read from {}: {}", param, path, std::strerror(errno)));
  };
  if (!file) return unreadable();
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return unreadable();
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kFileBytesMax) return refusal(param, fmt::format("{} is too large for a parameter", path));
  return text;
}

std::size_t members(const json::value& value) {
  std::size_t count = 0;
  if (const auto* list = value.if_array()) {
    for (const json::value& each : *list) count += members(each);
  } else if (const auto* object = value.if_object()) {
    count = object->size();
    for (const auto& [name, each] : *object) count += members(each);
  }
  return count;
}

// In valid JSON, the colons outside of strings.
std::size_t written_members(std::string_view text) {
  std::size_t count = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (text[i] == ':' && !in_string) {
      ++count;
    }
  }
  return count;
}

// The last few characters that were understood.
std::string_view before(std::string_view text, std::size_t at) {
  constexpr std::size_t kShownBytes = 24;
  const std::size_t begin = at > kShownBytes ? at - kShownBytes : 0;
  return text.substr(begin, at - begin);
}

}  // namespace

Result<json::value> json_argument(std::string_view param, std::string_view word) {
  std::string text(word);
  if (word.starts_with('@')) {
    auto read = read_file(param, std::string(word.substr(1)));
    if (!read) return read.error();
    text = std::move(*read);
  }
  json::stream_parser parser;
  boost::system::error_code failure;
  const std::size_t read = parser.write_some(text, failure);
  if (!failure && !parser.done()) parser.finish(failure);
  if (failure) {
    return refusal(param, fmt::format("--{} must be JSON, or @FILE with JSON: {} after '{}'", param, failure.message(),
                                      before(text, read)));
  }
  if (!std::ranges::all_of(text.substr(read), [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); })) {
    return refusal(param,
                   fmt::format("--{} must be one JSON value; more follows after '{}'", param, before(text, read)));
  }
  json::value value = parser.release();
  if (members(value) != written_members(text)) {
    return refusal(param, fmt::format("--{} has an object in which a name is given twice", param));
  }
  return value;
}

}  // namespace quern::cli
