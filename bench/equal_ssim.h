// How many bytes two encoders need for the same quality. One's qualities make a curve of SSIM and bytes; the other's
// single picture lies somewhere beside it.
#pragma once

#include <span>
#include <string>
#include <utility>

namespace quern::bench {

enum class Reach {
  kCompared,      // some quality of ours is as good as theirs
  kAlwaysBetter,  // even our worst is better: nothing to compare, and nothing to complain about
  kNeverAsGood,   // not even our best is: no number of bytes makes up for that
};

struct EqualSsim {
  Reach reach = Reach::kCompared;
  double ratio = 0;  // our bytes to theirs, when compared
};

// `curve`: SSIM and bytes of each of our qualities, one at least, in the qualities' order.
[[nodiscard]] EqualSsim at_equal_ssim(std::span<const std::pair<double, double>> curve, double their_ssim,
                                      double their_bytes);

// Whether the case needs at most `ratio_max` times their bytes. One that is never as good does not.
[[nodiscard]] bool meets(const EqualSsim& found, double ratio_max);

// "1.040 x", "-" where ours is always better, "worse" where it is never as good.
[[nodiscard]] std::string to_string(const EqualSsim& found);

}  // namespace quern::bench
