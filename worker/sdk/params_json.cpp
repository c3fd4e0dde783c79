#include "worker/sdk/params_json.h"

#include <fmt/format.h>

#include <array>
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

// An object, a list of objects, a list of objects in these, a list of numbers in those: 6. More depth gives a better
// message.
constexpr std::size_t kDepthMax = 8;

[[noreturn]] void refuse(const std::string& message, std::string_view field) {
  throw JobError(JobErrorCode::kInvalidArgument, message, std::string(field));
}

// What json::basic_parser calls. Every function says whether to go on; refusals leave by exception.
//
// Values are made in their place. Only the innermost open container grows, so what the outer ones hold stays where it
// is, and the last element of each is the one that is open.
class ParamsHandler {
 public:
  // The text is bounded before it is parsed, so these need not be.
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

  explicit ParamsHandler(json::storage_ptr storage) : object_(storage), key_(storage), text_(std::move(storage)) {}
  [[nodiscard]] json::object take() { return std::move(object_); }

  bool on_document_begin(error_code& /*failure*/) { return true; }
  bool on_document_end(error_code& /*failure*/) { return true; }
  bool on_object_begin(error_code& /*failure*/) {
    return open({.object = depth_ == 0 ? &object_ : &put(json::object(object_.storage())).get_object()});
  }
  bool on_array_begin(error_code& /*failure*/) {
    return open({.array = &put(json::array(object_.storage())).get_array()});
  }
  bool on_object_end(std::size_t /*size*/, error_code& /*failure*/) { return close(); }
  bool on_array_end(std::size_t /*size*/, error_code& /*failure*/) { return close(); }

  bool on_key_part(std::string_view part, std::size_t /*size*/, error_code& /*failure*/) {
    key_.append(part);
    return true;
  }
  bool on_key(std::string_view part, std::size_t /*size*/, error_code& /*failure*/) {
    key_.append(part);
    if (innermost().object->contains(key_)) refuse_again();
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
  bool on_int64(std::int64_t number, std::string_view /*part*/, error_code& /*failure*/) { return put_plain(number); }
  bool on_uint64(std::uint64_t number, std::string_view /*part*/, error_code& /*failure*/) { return put_plain(number); }
  bool on_double(double number, std::string_view /*part*/, error_code& /*failure*/) { return put_plain(number); }
  bool on_bool(bool value, error_code& /*failure*/) { return put_plain(value); }
  bool on_null(error_code& /*failure*/) { return put_plain(nullptr); }
  bool on_comment_part(std::string_view /*part*/, error_code& /*failure*/) { return true; }
  bool on_comment(std::string_view /*part*/, error_code& /*failure*/) { return true; }

 private:
  // One of the two.
  struct Container {
    json::object* object = nullptr;
    json::array* array = nullptr;
  };
  [[nodiscard]] const Container& innermost() const { return open_[depth_ - 1]; }

  template <class Value>
  json::value& put(Value&& value) {
    if (depth_ == 0) refuse("params must be a JSON object", "params");
    if (innermost().array != nullptr) return innermost().array->emplace_back(std::forward<Value>(value));
    json::value& added = innermost().object->emplace(key_, std::forward<Value>(value)).first->value();
    key_.clear();
    return added;
  }

  template <class Value>
  bool put_plain(Value value) {
    put(value);
    return true;
  }

  bool open(Container container) {
    if (depth_ == open_.size()) refuse("params nest too deeply", "params");
    open_[depth_++] = container;
    return true;
  }

  bool close() {
    --depth_;
    return true;
  }

  [[noreturn]] void refuse_again() const {
    std::string path;
    for (std::size_t i = 0; i + 1 < depth_; ++i) {
      if (open_[i].array != nullptr) {
        path += fmt::format("[{}]", open_[i].array->size() - 1);
      } else {
        if (!path.empty()) path += '.';
        path += std::string_view((open_[i].object->end() - 1)->key()).substr(0, 64);
      }
    }
    if (!path.empty()) path += '.';
    path += std::string_view(key_).substr(0, 64);
    refuse(fmt::format("parameter '{}' is given twice", path), path);
  }

  json::object object_;
  json::string key_;
  json::string text_;
  std::array<Container, kDepthMax + 1> open_{};
  std::size_t depth_ = 0;
};

}  // namespace

json::object parse_params(std::string_view text, const json::storage_ptr& storage) {
  json::basic_parser<ParamsHandler> parser({.max_depth = kDepthMax}, storage);
  error_code failure;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), failure);
  if (!failure && (read < text.size() || !parser.done())) failure = make_error_code(json::error::extra_data);
  if (failure) refuse(fmt::format("params must be a JSON object: {}", failure.message()), "params");
  return parser.handler().take();
}

}  // namespace quern::sdk
