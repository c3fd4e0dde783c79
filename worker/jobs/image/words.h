// A parameter's words and what each of them means, as one table: what is accepted, and what comes of it, cannot part.
//
//     constexpr auto kFits = std::to_array<Word<Fit>>({{"cover", Fit::kCover}, {"fill", Fit::kFill}});
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quern::image {

template <class Value>
struct Word {
  std::string_view word;
  Value value;
};

// A ParamSpec's choices.
template <class Value, std::size_t kCount>
[[nodiscard]] std::vector<std::string> words_of(const std::array<Word<Value>, kCount>& table) {
  std::vector<std::string> words;
  words.reserve(kCount);
  for (const Word<Value>& each : table) words.emplace_back(each.word);
  return words;
}

// nullptr: the table has no such word.
template <class Value, std::size_t kCount>
[[nodiscard]] constexpr const Value* find_word(const std::array<Word<Value>, kCount>& table, std::string_view word) {
  const auto row = std::ranges::find(table, word, &Word<Value>::word);
  return row == table.end() ? nullptr : &row->value;
}

// Of a parameter whose choices are the table's: the SDK let no other word pass.
template <class Value, std::size_t kCount>
[[nodiscard]] constexpr Value meaning_of(const std::array<Word<Value>, kCount>& table, std::string_view word) {
  const Value* value = find_word(table, word);
  assert(value != nullptr);
  return *value;
}

}  // namespace quern::image
