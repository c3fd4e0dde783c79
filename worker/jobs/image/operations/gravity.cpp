#include "worker/jobs/image/operations/gravity.h"

#include <array>
#include <boost/json/string.hpp>
#include <utility>

#include "worker/jobs/image/words.h"

namespace quern::image {
namespace {

constexpr auto kWords = std::to_array<Word<Gravity>>({{"centre", {0, 0}},
                                                      {"north", {0, -1}},
                                                      {"northeast", {1, -1}},
                                                      {"east", {1, 0}},
                                                      {"southeast", {1, 1}},
                                                      {"south", {0, 1}},
                                                      {"southwest", {-1, 1}},
                                                      {"west", {-1, 0}},
                                                      {"northwest", {-1, -1}}});
constexpr auto kSynonyms = std::to_array<Word<Gravity>>({{"center", {0, 0}},
                                                         {"top", {0, -1}},
                                                         {"right top", {1, -1}},
                                                         {"right", {1, 0}},
                                                         {"right bottom", {1, 1}},
                                                         {"bottom", {0, 1}},
                                                         {"left bottom", {-1, 1}},
                                                         {"left", {-1, 0}},
                                                         {"left top", {-1, -1}}});

}  // namespace

sdk::ParamSpec gravity_param(std::string name, std::string help) {
  return {.name = std::move(name),
          .help = std::move(help),
          .fallback = boost::json::string(kWords.front().word),
          .choices = words_of(kWords),
          .synonyms = words_of(kSynonyms)};
}

Gravity gravity_of(std::string_view word) {
  const Gravity* gravity = find_word(kWords, word);
  return gravity != nullptr ? *gravity : meaning_of(kSynonyms, word);
}

cv::Point placed(cv::Size inner, cv::Size outer, Gravity gravity, Odd odd) {
  return {static_cast<int>(offset_of(outer.width - inner.width, gravity.across, odd)),
          static_cast<int>(offset_of(outer.height - inner.height, gravity.down, odd))};
}

}  // namespace quern::image
