#include "worker/jobs/image/operations/gravity.h"

#include <algorithm>
#include <array>

namespace quern::image {
namespace {

struct NamedGravity {
  std::string_view word;
  Gravity gravity;
};
constexpr auto kWords = std::to_array<NamedGravity>({{"centre", {0, 0}},
                                                     {"center", {0, 0}},
                                                     {"north", {0, -1}},
                                                     {"northeast", {1, -1}},
                                                     {"east", {1, 0}},
                                                     {"southeast", {1, 1}},
                                                     {"south", {0, 1}},
                                                     {"southwest", {-1, 1}},
                                                     {"west", {-1, 0}},
                                                     {"northwest", {-1, -1}}});

int placed(int inner, int outer, int where) {
  const int room = outer - inner;
  if (where == 0) return room >= 0 ? room / 2 : -((-room + 1) / 2);
  return where < 0 ? 0 : room;
}

}  // namespace

Gravity gravity_of(std::string_view word) {
  return std::ranges::find(kWords, word, &NamedGravity::word)->gravity;  // the SDK checked it
}

std::vector<std::string> gravity_words() {
  std::vector<std::string> words;
  words.reserve(kWords.size());
  for (const NamedGravity& each : kWords) words.emplace_back(each.word);
  return words;
}

cv::Point placed(cv::Size inner, cv::Size outer, Gravity gravity) {
  return {placed(inner.width, outer.width, gravity.across), placed(inner.height, outer.height, gravity.down)};
}

}  // namespace quern::image
