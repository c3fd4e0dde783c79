#include "worker/jobs/image/operations/gravity.h"

#include <algorithm>
#include <array>
#include <boost/json/string.hpp>
#include <utility>

namespace quern::image {
namespace {

struct NamedGravity {
  std::string_view word;
  Gravity gravity;
};
constexpr auto kWords = std::to_array<NamedGravity>({{"centre", {0, 0}},
                                                     {"north", {0, -1}},
                                                     {"northeast", {1, -1}},
                                                     {"east", {1, 0}},
                                                     {"southeast", {1, 1}},
                                                     {"south", {0, 1}},
                                                     {"southwest", {-1, 1}},
                                                     {"west", {-1, 0}},
                                                     {"northwest", {-1, -1}}});
constexpr auto kSynonyms = std::to_array<NamedGravity>({{"center", {0, 0}},
                                                        {"top", {0, -1}},
                                                        {"right top", {1, -1}},
                                                        {"right", {1, 0}},
                                                        {"right bottom", {1, 1}},
                                                        {"bottom", {0, 1}},
                                                        {"left bottom", {-1, 1}},
                                                        {"left", {-1, 0}},
                                                        {"left top", {-1, -1}}});

template <class Table>
std::vector<std::string> words_of(const Table& table) {
  std::vector<std::string> words;
  words.reserve(table.size());
  for (const NamedGravity& each : table) words.emplace_back(each.word);
  return words;
}

}  // namespace

sdk::ParamSpec gravity_param(std::string name, std::string help) {
  return {.name = std::move(name),
          .help = std::move(help),
          .fallback = boost::json::string(kWords.front().word),
          .choices = words_of(kWords),
          .synonyms = words_of(kSynonyms)};
}

Gravity gravity_of(std::string_view word) {
  const auto named = std::ranges::find(kWords, word, &NamedGravity::word);
  if (named != kWords.end()) return named->gravity;
  return std::ranges::find(kSynonyms, word, &NamedGravity::word)->gravity;  // the SDK checked it
}

cv::Point placed(cv::Size inner, cv::Size outer, Gravity gravity, Odd odd) {
  return {static_cast<int>(offset_of(outer.width - inner.width, gravity.across, odd)),
          static_cast<int>(offset_of(outer.height - inner.height, gravity.down, odd))};
}

}  // namespace quern::image
