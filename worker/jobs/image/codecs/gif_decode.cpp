#include <algorithm>
#include <array>
#include <opencv2/core.hpp>
#include <vector>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/gif_reader.h"

namespace quern::image::gif {
namespace {

constexpr std::uint32_t kRecordsPerPoll = 256;
constexpr std::uint32_t kRowsPerPoll = 16;

cv::Rect whole(cv::Size size) { return {{0, 0}, size}; }

// Its rows are decoded as a whole, and no limit knows of what lies outside of the canvas.
bool is_far_too_wide(const Record& record, cv::Size canvas) {
  constexpr int kUsual = 4096;
  constexpr int kTimes = 4;
  return record.area.width > kUsual && record.area.width / kTimes > canvas.width;
}

// The walk over all records. A canvas that has no size is as large as the first picture.
Header read_header(Bytes bytes, const Damage& damage, const sdk::Job& job) {
  Reader reader(bytes, damage);
  Header header{.format = Format::kGif};
  cv::Size canvas = reader.canvas();
  Disposal before = Disposal::kKeep;
  header.frames = 0;
  while (const std::optional<Record> record = reader.next()) {
    if (header.frames % kRecordsPerPoll == 0) job.throw_if_cancelled();
    if (header.frames == 0) {
      if (canvas.empty()) canvas = {record->area.br().x, record->area.br().y};
      header.palette_bits = reader.palette() != nullptr ? reader.palette()->BitsPerPixel : 0;
      header.progressive = record->interlaced;
      header.alpha = (record->area & whole(canvas)) != whole(canvas) || reader.palette() == nullptr;
    }
    // what a first picture leaves when it vanishes is transparent; behind others there may be something
    header.alpha |= record->transparent >= 0 || before == Disposal::kBackground ||
                    (header.frames == 1 && before == Disposal::kPrevious);
    before = record->disposal;
    if (is_far_too_wide(*record, canvas)) damage.report(FailOn::kError, "a picture is far wider than its canvas");
    header.delays_ms.push_back(record->delay_ms);
    ++header.frames;
    reader.skip_pixels();
  }
  if (header.frames == 0 || canvas.empty()) damage.refuse("it has no picture");
  header.width = static_cast<std::uint32_t>(canvas.width);
  header.height = static_cast<std::uint32_t>(canvas.height);
  header.loops = header.frames > 1 ? reader.loops() : 0;
  if (header.frames == 1) header.delays_ms.clear();
  return header;
}

// In which order a picture's rows are stored.
std::vector<int> row_order(const Record& record) {
  struct Pass {
    int first;
    int step;
  };
  constexpr std::array<Pass, 4> kInterlaced{{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  constexpr std::array<Pass, 1> kPlain{{{0, 1}}};
  std::vector<int> order;
  order.reserve(static_cast<std::size_t>(record.area.height));
  const std::span<const Pass> passes =
      record.interlaced ? std::span<const Pass>(kInterlaced) : std::span<const Pass>(kPlain);
  for (const Pass& pass : passes) {
    for (int row = pass.first; row < record.area.height; row += pass.step) order.push_back(row);
  }
  return order;
}

class GifDecoder final : public Decoder {
 public:
  GifDecoder(Bytes bytes, FailOn fail_on, const sdk::Job& job)
      : Decoder({}), damage_("GIF", fail_on), job_(job), reader_(bytes, damage_) {
    header_ = read_header(bytes, damage_, job);
  }

  [[nodiscard]] Metadata read_metadata() override { return {}; }

  // The canvas is the only picture that is kept, and a second one for those that are to vanish again.
  [[nodiscard]] Frame next(const DecodeOptions& /*options*/) override {
    job_.throw_if_cancelled();
    const cv::Size size = header().size();
    if (canvas_.empty()) canvas_ = cv::Mat(size, CV_8UC4, cv::Scalar::all(0));
    dispose();
    if (const std::optional<Record> record = reader_.next()) {
      shown_ = {.area = record->area & whole(size), .disposal = record->disposal};
      if (shown_.area.empty()) shown_.disposal = Disposal::kKeep;
      if (shown_.disposal == Disposal::kPrevious) canvas_(shown_.area).copyTo(previous_);
      draw(*record);
    } else {
      shown_ = {};  // damage that was let pass: the picture stays
    }
    const std::uint32_t delay_ms = index_ < header().delays_ms.size() ? header().delays_ms[index_] : 0;
    ++index_;
    return {.picture = header().alpha ? canvas_.clone() : remove_alpha(canvas_), .delay_ms = delay_ms};
  }

 private:
  // What is left of the picture that is shown, when the next one comes.
  void dispose() {
    if (shown_.disposal == Disposal::kBackground) canvas_(shown_.area).setTo(cv::Scalar::all(0));
    if (shown_.disposal == Disposal::kPrevious) previous_.copyTo(canvas_(shown_.area));
  }

  void draw(const Record& record) {
    const cv::Rect visible = is_far_too_wide(record, canvas_.size()) ? cv::Rect() : record.area & whole(canvas_.size());
    const std::vector<int> order = visible.empty() ? std::vector<int>() : row_order(record);
    // rows after the last that is seen are not decoded
    const auto last = std::find_if(order.rbegin(), order.rend(), [&](int row) { return sees(visible, record, row); });
    const auto rows = static_cast<std::size_t>(order.rend() - last);
    if (rows > 0 && reader_.palette() == nullptr) damage_.report(FailOn::kError, "a picture has no palette");
    std::vector<std::uint8_t> indices(static_cast<std::size_t>(std::max(1, record.area.width)));
    for (std::size_t i = 0; i < rows; ++i) {
      if (i % kRowsPerPoll == 0) job_.throw_if_cancelled();
      if (!reader_.read_row(indices.data(), record.area.width)) return;
      if (sees(visible, record, order[i])) draw_row(record, visible, order[i], indices);
    }
    if (rows < static_cast<std::size_t>(record.area.height) || record.area.empty()) reader_.skip_pixels();
  }

  static bool sees(const cv::Rect& visible, const Record& record, int row) {
    return record.area.y + row >= visible.y && record.area.y + row < visible.y + visible.height;
  }

  void draw_row(const Record& record, const cv::Rect& visible, int row, const std::vector<std::uint8_t>& indices) {
    const ColorMapObject* palette = reader_.palette();
    if (palette == nullptr) return;
    auto* to = canvas_.ptr<cv::Vec4b>(record.area.y + row);
    for (int x = visible.x; x < visible.x + visible.width; ++x) {
      const int index = indices[static_cast<std::size_t>(x - record.area.x)];
      // as in browsers, a colour that the palette has not changes nothing
      if (index == record.transparent || index >= palette->ColorCount) continue;
      const GifColorType& color = palette->Colors[index];
      to[x] = {color.Red, color.Green, color.Blue, 255};
    }
  }

  Damage damage_;
  const sdk::Job& job_;
  Reader reader_;
  cv::Mat canvas_;
  cv::Mat previous_;
  std::size_t index_ = 0;
  Record shown_{};
};

}  // namespace

std::unique_ptr<Decoder> open(Bytes bytes, FailOn fail_on, const sdk::Job& job) {
  return std::make_unique<GifDecoder>(bytes, fail_on, job);
}

}  // namespace quern::image::gif
