// GIFs are written with giflib. Of libcgif, Debian 12 has 0.3.0, which computes the room for its LZW codes too small
// (one code a pixel; pictures that nothing can be saved on need one more every 3838 pixels), and checks no malloc.
//
// Pictures of an animation hold only what changed: the rest is transparent, around it nothing is stored. What has to
// become transparent again makes the picture before it vanish as a whole; so each waits until the next one is known.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/gif_writer.h"
#include "worker/jobs/image/codecs/quantise.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::gif {
namespace {

constexpr int kOpaque = 128;  // from here on; a GIF's alpha has one bit
const cv::Vec4b kTransparent(0, 0, 0, 0);

// RGBA with alpha of 0 or 255, and one colour of what is transparent.
cv::Mat with_one_bit_of_alpha(const cv::Mat& picture) {
  cv::Mat out(picture.size(), CV_8UC4);
  const int channels = picture.channels();
  for (int y = 0; y < picture.rows; ++y) {
    const std::uint8_t* from = picture.ptr(y);
    auto* to = out.ptr<cv::Vec4b>(y);
    for (int x = 0; x < picture.cols; ++x, from += channels) {
      to[x] = channels == 4 && from[3] < kOpaque ? kTransparent : cv::Vec4b(from[0], from[1], from[2], 255);
    }
  }
  return out;
}

// Whether anything is transparent that was not.
bool uncovers(const cv::Mat& before, const cv::Mat& after) {
  for (int y = 0; y < before.rows; ++y) {
    const auto* old_row = before.ptr<cv::Vec4b>(y);
    const auto* new_row = after.ptr<cv::Vec4b>(y);
    for (int x = 0; x < before.cols; ++x) {
      if (old_row[x][3] != 0 && new_row[x][3] == 0) return true;
    }
  }
  return false;
}

// The smallest rectangle around all that differs; one pixel when nothing does.
cv::Rect changed_area(const cv::Mat& before, const cv::Mat& after) {
  int left = after.cols;
  int right = -1;
  int top = after.rows;
  int bottom = -1;
  for (int y = 0; y < after.rows; ++y) {
    const auto* old_row = before.ptr<cv::Vec4b>(y);
    const auto* new_row = after.ptr<cv::Vec4b>(y);
    for (int x = 0; x < after.cols; ++x) {
      if (old_row[x] == new_row[x]) continue;
      left = std::min(left, x);
      right = std::max(right, x);
      top = std::min(top, y);
      bottom = y;
    }
  }
  if (bottom < 0) return {0, 0, 1, 1};
  return {left, top, right - left + 1, bottom - top + 1};
}

class GifEncoder final : public Encoder {
 public:
  GifEncoder(const EncodeOptions& options, const sdk::Job& job) : options_(options), job_(job) {}

  void add(const Frame& frame) override {
    job_.throw_if_cancelled();
    cv::Mat picture = with_one_bit_of_alpha(to_rgb(frame.picture));
    if (!writer_) open(picture.size());
    if (waiting_) write_waiting(uncovers(waiting_->picture, picture));
    waiting_ = Waiting{.picture = std::move(picture), .delay_ms = frame.delay_ms};
  }

  void finish(sdk::Output& output) override {
    if (waiting_) write_waiting(false);
    output.write(writer_->finish());
  }

 private:
  struct Waiting {
    cv::Mat picture;
    std::uint32_t delay_ms = 0;
  };

  void open(cv::Size size) {
    writer_.emplace(WriterOptions{.canvas = size, .animated = options_.frames > 1, .loops = options_.loops}, job_);
    shown_ = cv::Mat(size, CV_8UC4, cv::Scalar::all(0));
  }

  void write_waiting(bool vanishes) {
    const bool first = first_;
    first_ = false;
    const cv::Mat& picture = waiting_->picture;
    // what vanishes takes everything with it
    const cv::Rect area = first || vanishes ? cv::Rect({0, 0}, picture.size()) : changed_area(shown_, picture);
    cv::Mat part = picture(area);
    if (!first) part = without_what_is_shown(part, shown_(area));
    const Quantised quantised = quantise(part,
                                         {.colors = options_.colors,
                                          .dither = options_.dither,
                                          .effort = options_.effort.value_or(kQuantiseEffortDefault)},
                                         job_);
    int transparent = -1;
    for (std::size_t i = 0; i < quantised.palette.size(); ++i) {
      if (quantised.palette[i].a < kOpaque) transparent = static_cast<int>(i);
    }
    writer_->add({.indices = quantised.indices,
                  .at = area.tl(),
                  .palette = quantised.palette,
                  .transparent = transparent,
                  .delay_ms = waiting_->delay_ms,
                  .vanishes = vanishes});
    if (vanishes) {
      shown_.setTo(cv::Scalar::all(0));
    } else {
      shown_ = picture;
    }
  }

  static cv::Mat without_what_is_shown(const cv::Mat& picture, const cv::Mat& shown) {
    cv::Mat out = picture.clone();
    for (int y = 0; y < out.rows; ++y) {
      auto* row = out.ptr<cv::Vec4b>(y);
      const auto* shown_row = shown.ptr<cv::Vec4b>(y);
      for (int x = 0; x < out.cols; ++x) {
        if (row[x] == shown_row[x]) row[x] = kTransparent;
      }
    }
    return out;
  }

  EncodeOptions options_;
  const sdk::Job& job_;
  std::optional<Writer> writer_;
  std::optional<Waiting> waiting_{};
  cv::Mat shown_{};  // what the waiting picture is drawn on
  bool first_ = true;
};

}  // namespace

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  return std::make_unique<GifEncoder>(options, job);
}

}  // namespace quern::image::gif
