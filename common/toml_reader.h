// A strict reader over toml++: typed settings with ranges, and every complaint names file, line,
// setting and what is allowed. A setting nobody asked for is a complaint too (with the nearest known
// name), so a misspelt limit is never silently ignored.
//
//     TomlTable pool = document.table("pools.image");
//     pool.read("workers", workers, 1, 256);
//     ...
//     pool.finish();                       // complains of what was not read
//     if (auto error = document.error()) ...
//
// The first complaint wins; after it, reads leave their targets alone. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"

namespace quern {

class TomlDocument;

class TomlTable {
 public:
  // Each leaves `value` as it is when the setting is absent.
  void read(std::string_view setting, std::string& value);
  void read(std::string_view setting, std::vector<std::string>& value);  // an array of strings, not empty
  void read(std::string_view setting, std::uint32_t& value, std::uint32_t min, std::uint32_t max);
  // A number of bytes, or a string such as "64MiB".
  void read_size(std::string_view setting, std::uint64_t& value, std::uint64_t min, std::uint64_t max);
  // File permissions as an octal string, "0660".
  void read_mode(std::string_view setting, std::uint32_t& value);
  // One of `words`; `value` becomes its index.
  void read_word(std::string_view setting, std::size_t& value, const std::vector<std::string_view>& words);

  void read(std::string_view setting, bool& value);
  // A list of some of `words`, perhaps of none; `value` becomes the set, bit i for words[i].
  void read_set(std::string_view setting, std::uint32_t& value, std::span<const std::string_view> words);

  // The names of the tables inside this one, in the file's order; they count as read.
  [[nodiscard]] std::vector<std::string> tables();
  [[nodiscard]] bool present() const noexcept { return node_ != nullptr; }
  // A complaint about a setting of this table, for checks that need several.
  void complain(std::string_view setting, std::string_view reason);
  void finish();

 private:
  friend class TomlDocument;
  TomlTable(TomlDocument& document, std::string path, const void* node)
      : document_(&document), path_(std::move(path)), node_(node) {}
  [[nodiscard]] const void* find(std::string_view setting);

  TomlDocument* document_;
  std::string path_;
  const void* node_;  // a toml::table, or null when the table is absent; toml++ stays out of this header
  std::vector<std::string> asked_;
};

class TomlDocument {
 public:
  [[nodiscard]] static Result<TomlDocument> parse(std::string_view text, std::string_view file_name);
  [[nodiscard]] static Result<TomlDocument> load(const std::string& path);
  TomlDocument(TomlDocument&&) noexcept;
  TomlDocument& operator=(TomlDocument&&) noexcept;
  ~TomlDocument();

  // The table at a dotted path, "" for the root; an absent one reads as empty.
  [[nodiscard]] TomlTable table(std::string_view path);
  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

 private:
  friend class TomlTable;
  struct Tree;
  TomlDocument();
  void complain(std::uint32_t line, std::string_view setting, std::string_view reason);

  std::unique_ptr<Tree> tree_;
  std::string file_name_;
  std::optional<Error> error_;
};

}  // namespace quern
