#include "worker/sdk/flat_object.h"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <utility>

#include "worker/sdk/job.h"

namespace quern::sdk {
namespace {

namespace json = boost::json;
using boost::system::error_code;

constexpr std::size_t kDepthMax = 4;  // one would do; more depth gives a better message

[[noreturn]] void refuse(const std::string& message, std::string_view field) {
  throw JobError(JobErrorCode::kInvalidArgument, message, std::string(field));
}

// What json::basic_parser calls. Every function says whether to go on; refusals leave by exception.
class FlatObjectHandler {
 public:
  // The text is bounded before it is parsed, so these need not be.
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

  explicit FlatObjectHandler(json::storage_ptr storage) : object_(storage), key_(storage), text_(std::move(storage)) {}
  [[nodiscard]] json::object take() { return std::move(object_); }

  bool on_document_begin(error_code& /*failure*/) { return true; }
  bool on_document_end(error_code& /*failure*/) { return true; }
  bool on_object_begin(error_code& /*failure*/) {
    if (depth_ > 0) put(json::object());
    ++depth_;
    return true;
  }
  bool on_array_begin(error_code& /*failure*/) {
    put(json::array());
    ++depth_;
    return true;
  }
  bool on_object_end(std::size_t /*size*/, error_code& /*failure*/) { return leave(); }
  bool on_array_end(std::size_t /*size*/, error_code& /*failure*/) { return leave(); }

  bool on_key_part(std::string_view part, std::size_t /*size*/, error_code& /*failure*/) {
    if (depth_ == 1) key_.append(part);
    return true;
  }
  bool on_key(std::string_view part, std::size_t /*size*/, error_code& /*failure*/) {
    if (depth_ != 1) return true;
    key_.append(part);
    const std::string shown(std::string_view(key_).substr(0, 64));
    if (object_.contains(key_)) refuse(fmt::format("parameter '{}' is given twice", shown), shown);
    return true;
  }
  bool on_string_part(std::string_view part, std::size_t /*size*/, error_code& /*failure*/) {
    text_.append(part);
    return true;
  }
  bool on_string(std::string_view part, std::size_t /*size*/, error_code& /*failure*/) {
    text_.append(part);
    put(std::exchange(text_, json::string(text_.storage())));
    return true;
  }

  bool on_number_part(std::string_view /*part*/, error_code& /*failure*/) { return true; }
  bool on_int64(std::int64_t number, std::string_view /*part*/, error_code& /*failure*/) { return put(number); }
  bool on_uint64(std::uint64_t number, std::string_view /*part*/, error_code& /*failure*/) { return put(number); }
  bool on_double(double number, std::string_view /*part*/, error_code& /*failure*/) { return put(number); }
  bool on_bool(bool value, error_code& /*failure*/) { return put(value); }
  bool on_null(error_code& /*failure*/) { return put(nullptr); }
  bool on_comment_part(std::string_view /*part*/, error_code& /*failure*/) { return true; }
  bool on_comment(std::string_view /*part*/, error_code& /*failure*/) { return true; }

 private:
  // Values inside of a list or an object are dropped: their container is what will be refused.
  template <class Value>
  bool put(Value&& value) {
    if (depth_ == 0) refuse("params must be a JSON object", "params");
    if (depth_ == 1) {
      object_.emplace(key_, std::forward<Value>(value));
      key_.clear();
    }
    return true;
  }

  bool leave() {
    --depth_;
    return true;
  }

  json::object object_;
  json::string key_;
  json::string text_;
  std::size_t depth_ = 0;
};

}  // namespace

json::object parse_flat_object(std::string_view text, const json::storage_ptr& storage) {
  json::basic_parser<FlatObjectHandler> parser({.max_depth = kDepthMax}, storage);
  error_code failure;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), failure);
  if (!failure && (read < text.size() || !parser.done())) failure = make_error_code(json::error::extra_data);
  if (failure) refuse(fmt::format("params must be a JSON object: {}", failure.message()), "params");
  return parser.handler().take();
}

}  // namespace quern::sdk
