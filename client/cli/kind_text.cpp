#include "client/cli/kind_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <string_view>
#include <utility>
#include <vector>

namespace quern::cli {
namespace {

namespace json = boost::json;

std::string_view text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

std::string notes_of(const json::object& param) {
  if (param.at("required").as_bool()) return " (required)";
  const json::value* fallback = param.if_contains("default");
  if (fallback == nullptr) return {};
  if (fallback->is_double()) return fmt::format(" (default {})", fallback->get_double());  // 2.2, not 2.2E0
  return fmt::format(" (default {})",
                     fallback->is_string() ? std::string(fallback->get_string()) : json::serialize(*fallback));
}

// Words in lines of about 100 columns.
std::string wrapped(const std::vector<std::string_view>& words, std::string_view indent) {
  constexpr std::size_t kColumns = 100;
  std::string text;
  std::string line(indent);
  for (const std::string_view word : words) {
    if (line.size() + 1 + word.size() > kColumns) text += std::exchange(line, std::string(indent)) + "\n";
    line += fmt::format("{}{}", line.size() == indent.size() ? "" : " ", word);
  }
  return text + line + "\n";
}

class Writer {
 public:
  explicit Writer(ShapeDetail detail) : detail_(detail) {}

  // `dashes`: of options on the command line; the members of a list's objects have none.
  void params(const json::array& params, std::size_t indent, std::string_view dashes) {
    for (const json::value& each : params) {
      const json::object& param = each.as_object();
      param_line(param, indent, dashes);
      if (const json::value* items = param.if_contains("items")) shapes(param, items->as_array(), indent + 4);
    }
  }

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  // What it may be and its help stand in columns; many choices take a line of their own, still as one word, which
  // shells complete from.
  void param_line(const json::object& param, std::size_t indent, std::string_view dashes) {
    constexpr std::size_t kColumn = 28;
    const std::string words = allowed(param);
    const bool wide = words.size() > kColumn;
    text_ += fmt::format("{:{}}{:<22} {:<{}}", "", indent, fmt::format("{}{}", dashes, text_of(param, "name")), words,
                         kColumn);
    text_ += wide ? fmt::format("\n{:{}}", "", indent + 23 + kColumn) : std::string();
    text_ += fmt::format(" {}{}\n", text_of(param, "help"), notes_of(param));
  }

  struct Written {
    std::string name;
    const json::array* shapes;
  };

  void shapes(const json::object& param, const json::array& shapes, std::size_t indent) {
    const std::string_view tag = text_of(param, "tag");
    const auto before = std::ranges::find_if(written_, [&](const Written& each) { return *each.shapes == shapes; });
    if (before != written_.end()) {
      text_ += fmt::format("{:{}}as in {}\n", "", indent, before->name);
      return;
    }
    written_.push_back({.name = std::string(text_of(param, "name")), .shapes = &shapes});
    if (detail_ == ShapeDetail::kNames && !tag.empty()) return names(shapes, tag, indent);
    for (const json::value& each : shapes) {
      const json::object& shape = each.as_object();
      if (!tag.empty()) {
        const std::string selector = fmt::format(R"("{}": "{}")", tag, text_of(shape, "name"));
        text_ += fmt::format("{:{}}{:<22} {}\n", "", indent, selector, text_of(shape, "help"));
      }
      this->params(shape.at("params").as_array(), indent + (tag.empty() ? 0 : 4), {});
    }
  }

  void names(const json::array& shapes, std::string_view tag, std::size_t indent) {
    std::vector<std::string> words{fmt::format("{}:", tag)};
    for (const json::value& each : shapes) words.emplace_back(text_of(each.as_object(), "name"));
    text_ += wrapped({words.begin(), words.end()}, std::string(indent, ' '));
  }

  ShapeDetail detail_;
  std::string text_{};
  std::vector<Written> written_{};
};

}  // namespace

std::string allowed(const json::object& param) {
  std::string words;
  if (const json::value* choices = param.if_contains("choices"); choices != nullptr) {
    for (const json::value& choice : choices->as_array())
      words += (words.empty() ? "" : "|") + std::string(choice.as_string());
    return words;
  }
  words = text_of(param, "type");
  if (words == "list") words = "list of objects";
  if (words == "numbers") words = "list of numbers";
  const json::value* min = param.if_contains("min");
  const json::value* max = param.if_contains("max");
  if (min != nullptr && max != nullptr) {
    words += fmt::format(" {}..{}", min->to_number<double>(), max->to_number<double>());
  } else if (min != nullptr) {
    words += fmt::format(" >= {}", min->to_number<double>());
  } else if (max != nullptr) {
    words += fmt::format(" <= {}", max->to_number<double>());
  }
  return words;
}

std::string kind_text(const json::object& kind, ShapeDetail detail) {
  const json::object& input = kind.at("input").as_object();
  const bool no_input = input.at("parts_max").to_number<std::uint64_t>() == 0;
  Writer writer(detail);
  writer.params(kind.at("params").as_array(), 2, "--");
  return fmt::format("{}  (pool {})\n  {}\n  input:  {}\n  output: {}\n{}", text_of(kind, "name"),
                     text_of(kind, "pool"), text_of(kind, "summary"), no_input ? "none" : text_of(input, "help"),
                     text_of(kind, "output"), writer.take());
}

}  // namespace quern::cli
