#include "common/toml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <numeric>
#include <sstream>

#include "common/sizes.h"
#include "common/tomlplusplus.h"

namespace quern {
namespace {

const toml::node* as_node(const void* node) { return static_cast<const toml::node*>(node); }

// Levenshtein's distance, for "did you mean".
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substituted}));
    }
  }
  return row.back();
}

std::string suggestion(std::string_view wrong, const std::vector<std::string>& known) {
  const auto nearest =
      std::ranges::min_element(known, {}, [&](const std::string& name) { return edit_distance(wrong, name); });
  if (nearest == known.end() || edit_distance(wrong, *nearest) > 3) {
    return known.empty() ? "" : fmt::format("; known here: {}", fmt::join(known, ", "));
  }
  return fmt::format("; did you mean '{}'?", *nearest);
}

}  // namespace

struct TomlDocument::Tree {
  toml::table root;
};

TomlDocument::TomlDocument() : tree_(std::make_unique<Tree>()) {}
TomlDocument::TomlDocument(TomlDocument&&) noexcept = default;
TomlDocument& TomlDocument::operator=(TomlDocument&&) noexcept = default;
TomlDocument::~TomlDocument() = default;

Result<TomlDocument> TomlDocument::parse(std::string_view text, std::string_view file_name) {
  TomlDocument document;
  document.file_name_ = file_name;
  try {
    document.tree_->root = toml::parse(text, file_name);
  } catch (const toml::parse_error& failure) {
    document.complain(failure.source().begin.line, "", failure.description());
    return *document.error_;
  }
  return document;
}

Result<TomlDocument> TomlDocument::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return Error{.code = ErrorCode::kInvalidArgument, .message = fmt::format("{}: can't be read", path)};
  }
  return parse(text.str(), path);
}

void TomlDocument::complain(std::uint32_t line, std::string_view setting, std::string_view reason) {
  if (error_) return;
  error_ = Error{
      .code = ErrorCode::kInvalidArgument,
      .message = fmt::format("{}: line {}: {}{}{}", file_name_, line, setting, setting.empty() ? "" : ": ", reason),
      .field = std::string(setting)};
}

TomlTable TomlDocument::table(std::string_view path) {
  const toml::node* node = path.empty() ? &tree_->root : tree_->root.at_path(path).node();
  if (node != nullptr && !node->is_table()) {
    complain(node->source().begin.line, path, "must be a table");
    node = nullptr;
  }
  return TomlTable(*this, std::string(path), node);
}

const void* TomlTable::find(std::string_view setting) {
  asked_.emplace_back(setting);
  if (node_ == nullptr || document_->error_) return nullptr;
  return as_node(node_)->as_table()->get(setting);
}

void TomlTable::complain(std::string_view setting, std::string_view reason) {
  const toml::node* table = as_node(node_);
  const toml::node* node = table != nullptr ? table->as_table()->get(setting) : nullptr;
  const std::uint32_t line = node != nullptr    ? node->source().begin.line
                             : table != nullptr ? table->source().begin.line
                                                : 1;
  document_->complain(line, path_.empty() ? std::string(setting) : fmt::format("{}.{}", path_, setting), reason);
}

void TomlTable::read(std::string_view setting, std::string& value) {
  const auto* node = as_node(find(setting));
  if (node == nullptr) return;
  if (!node->is_string()) return complain(setting, "must be a string");
  value = **node->as_string();
}

void TomlTable::read(std::string_view setting, std::vector<std::string>& value) {
  const auto* node = as_node(find(setting));
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  if (array == nullptr || array->empty()) return complain(setting, "must be a list of strings with at least one");
  std::vector<std::string> read;
  for (const toml::node& element : *array) {
    if (!element.is_string()) return complain(setting, "must be a list of strings");
    read.push_back(**element.as_string());
  }
  value = std::move(read);
}

void TomlTable::read(std::string_view setting, std::uint32_t& value, std::uint32_t min, std::uint32_t max) {
  const auto* node = as_node(find(setting));
  if (node == nullptr) return;
  const auto number = node->value_exact<std::int64_t>();
  if (!number || *number < min || *number > max) {
    return complain(setting, fmt::format("must be a whole number between {} and {}", min, max));
  }
  value = static_cast<std::uint32_t>(*number);
}

void TomlTable::read_size(std::string_view setting, std::uint64_t& value, std::uint64_t min, std::uint64_t max) {
  const auto* node = as_node(find(setting));
  if (node == nullptr) return;
  const auto number = node->value_exact<std::int64_t>();
  const auto text = node->value_exact<std::string>();
  const auto size = text ? parse_size(*text)
                    : number && *number >= 0
                        ? Result<std::uint64_t>(static_cast<std::uint64_t>(*number))
                        : Result<std::uint64_t>(Error{.code = ErrorCode::kInvalidArgument,
                                                      .message = "must be a size such as \"64MiB\""});
  if (!size) return complain(setting, size.error().message);
  if (*size < min || *size > max) {
    return complain(setting, fmt::format("must be between {} and {}", format_size(min), format_size(max)));
  }
  value = *size;
}

void TomlTable::read_mode(std::string_view setting, std::uint32_t& value) {
  const auto* node = as_node(find(setting));
  if (node == nullptr) return;
  const auto text = node->value_exact<std::string>().value_or("");
  std::uint32_t mode = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (failure != std::errc{} || end != text.data() + text.size() || mode > 0777) {
    return complain(setting, "must be file permissions in octal, such as \"0660\"");
  }
  value = mode;
}

void TomlTable::read_word(std::string_view setting, std::size_t& value, const std::vector<std::string_view>& words) {
  const auto* node = as_node(find(setting));
  if (node == nullptr) return;
  const auto at = std::ranges::find(words, node->value_exact<std::string>().value_or(""));
  if (at == words.end()) return complain(setting, fmt::format("must be one of: {}", fmt::join(words, ", ")));
  value = static_cast<std::size_t>(at - words.begin());
}

void TomlTable::read(std::string_view setting, bool& value) {
  const auto* node = as_node(find(setting));
  if (node == nullptr) return;
  const auto flag = node->value_exact<bool>();
  if (!flag) return complain(setting, "must be true or false");
  value = *flag;
}

void TomlTable::read_set(std::string_view setting, std::uint32_t& value, std::span<const std::string_view> words) {
  const auto* node = as_node(find(setting));
  if (node == nullptr) return;
  const auto complain_of_words = [&] {
    complain(setting, fmt::format("must be a list of some of: {}", fmt::join(words, ", ")));
  };
  const toml::array* array = node->as_array();
  if (array == nullptr) return complain_of_words();
  std::uint32_t set = 0;
  for (const toml::node& element : *array) {
    const auto at = std::ranges::find(words, element.value_exact<std::string>().value_or(""));
    if (at == words.end()) return complain_of_words();
    set |= 1U << (at - words.begin());
  }
  value = set;
}

std::vector<std::string> TomlTable::tables() {
  std::vector<std::pair<std::uint32_t, std::string>> found;
  if (node_ == nullptr) return {};
  for (const auto& [key, node] : *as_node(node_)->as_table()) {
    if (!node.is_table()) continue;
    found.emplace_back(node.source().begin.line, key.str());
    asked_.emplace_back(key.str());
  }
  std::ranges::sort(found);
  std::vector<std::string> names;
  for (auto& [line, table_name] : found) names.push_back(std::move(table_name));
  return names;
}

void TomlTable::finish() {
  if (node_ == nullptr) return;
  for (const auto& [key, node] : *as_node(node_)->as_table()) {
    const std::string setting(key.str());
    if (std::ranges::find(asked_, setting) == asked_.end()) {
      complain(setting, "unknown setting" + suggestion(setting, asked_));
    }
  }
}

}  // namespace quern
