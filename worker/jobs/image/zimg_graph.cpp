#include "worker/jobs/image/zimg_graph.h"

#include <algorithm>
#include <list>
#include <new>
#include <opencv2/core.hpp>
#include <string>
#include <utility>

#include "worker/jobs/image/picture.h"

namespace quern::image {
namespace {

struct Filter {
  zimg_resample_filter_e filter;
  double a;
  double b;
};

// Cubics by Mitchell and Netravali's B and C ("Reconstruction Filters in Computer Graphics", 1988): Catmull and Rom's,
// and their own recommendation. Lanczos by its lobes.
Filter filter_of(Kernel kernel) {
  switch (kernel) {
    case Kernel::kNearest: return {ZIMG_RESIZE_POINT, 0, 0};
    case Kernel::kLinear: return {ZIMG_RESIZE_BILINEAR, 0, 0};
    case Kernel::kCubic: return {ZIMG_RESIZE_BICUBIC, 0, 0.5};
    case Kernel::kMitchell: return {ZIMG_RESIZE_BICUBIC, 1.0 / 3, 1.0 / 3};
    case Kernel::kLanczos2: return {ZIMG_RESIZE_LANCZOS, 2, 0};
    case Kernel::kLanczos3: break;
  }
  return {ZIMG_RESIZE_LANCZOS, 3, 0};
}

zimg_pixel_type_e pixel_type(int type) { return type == CV_16UC1 ? ZIMG_PIXEL_WORD : ZIMG_PIXEL_BYTE; }

zimg_image_format image_format(cv::Size size, int planes, int type) {
  zimg_image_format format;
  zimg_image_format_default(&format, ZIMG_API_VERSION);
  format.width = static_cast<unsigned>(size.width);
  format.height = static_cast<unsigned>(size.height);
  format.pixel_type = pixel_type(type);
  format.pixel_range = ZIMG_RANGE_FULL;
  if (planes > 1) {
    format.color_family = ZIMG_COLOR_RGB;
    format.matrix_coefficients = ZIMG_MATRIX_RGB;
  }
  if (planes == 4) format.alpha = ZIMG_ALPHA_PREMULTIPLIED;  // on both sides: scaled like the colours
  return format;
}

// Whether the job is to go on; as zimg's callbacks say it.
int asked_to_stop(void* user, unsigned /*row*/, unsigned /*left*/, unsigned /*right*/) {
  return static_cast<const sdk::Job*>(user)->cancel_requested() ? 1 : 0;
}

// Lines that zimg keeps, round and round.
struct LineBuffer {
  cv::Mat lines;  // plane after plane
  unsigned mask;
  int height;

  LineBuffer(unsigned lines_min, cv::Size size, int planes, int type) : mask(zimg_select_buffer_mask(lines_min)) {
    height = mask >= static_cast<unsigned>(size.height) ? size.height : static_cast<int>(mask) + 1;
    lines = make_plane({size.width, height * planes}, type);
  }
  [[nodiscard]] std::byte* plane(int i) { return reinterpret_cast<std::byte*>(lines.ptr(i * height)); }
  [[nodiscard]] ptrdiff_t stride() const { return static_cast<ptrdiff_t>(lines.step[0]); }
  [[nodiscard]] ZimgGraph::Rows row(unsigned i, int planes) {
    ZimgGraph::Rows rows{};
    const auto line = static_cast<int>(mask >= static_cast<unsigned>(height) ? i : (i & mask));
    for (int p = 0; p < planes; ++p) {
      rows[static_cast<std::size_t>(p)] = reinterpret_cast<std::byte*>(lines.ptr(p * height + line));
    }
    return rows;
  }
};

struct Callback {
  const std::function<void(const ZimgGraph::Rows&, unsigned, unsigned, unsigned)>* step;
  LineBuffer* buffer;
  int planes;
  const sdk::Job* job;

  static int call(void* user, unsigned row, unsigned left, unsigned right) {
    const auto& self = *static_cast<const Callback*>(user);
    if (self.job->cancel_requested()) return 1;
    (*self.step)(self.buffer->row(row, self.planes), row, left, right);
    return 0;
  }
};

using Graph = std::shared_ptr<zimg_filter_graph>;

struct Recipe {
  cv::Size source;
  Resize resize;
  ZimgGraph::Format format;
  friend bool operator==(const Recipe&, const Recipe&) = default;
};

Graph build(const Recipe& recipe) {
  const auto& [source, resize, format] = recipe;
  zimg_image_format from = image_format(source, format.planes, format.type_in);
  from.active_region = {
      .left = resize.from.x, .top = resize.from.y, .width = resize.from.width, .height = resize.from.height};
  zimg_image_format to = image_format(resize.to, format.planes, format.type_out);
  if (format.to_limited) to.pixel_range = ZIMG_RANGE_LIMITED;
  zimg_graph_builder_params params;
  zimg_graph_builder_params_default(&params, ZIMG_API_VERSION);
  const Filter filter = filter_of(resize.kernel);
  params.resample_filter = filter.filter;
  params.filter_param_a = filter.a;
  params.filter_param_b = filter.b;
  // Not AUTO_64B: in zimg 3.0.4 the 512-bit kernels put some rows more than half a pixel off (301 pixels to 150), and
  // gain nothing over 256 bits here.
  params.cpu_type = ZIMG_CPU_AUTO;
  if (Graph graph{zimg_filter_graph_build(&from, &to, &params), zimg_filter_graph_free}) return graph;
  std::string reason(256, '\0');
  if (zimg_get_last_error(reason.data(), reason.size()) == ZIMG_ERROR_OUT_OF_MEMORY) throw std::bad_alloc();
  throw sdk::JobError(sdk::JobErrorCode::kTooLarge,
                      "this picture can't be scaled that much: " + std::string(reason.c_str()));
}

// The newest first. What was asked for longest ago goes; a graph that is running lives on in who runs it.
Graph graph_for(const Recipe& recipe) {
  constexpr std::size_t kKept = 32;
  static std::list<std::pair<Recipe, Graph>> kept;
  const auto known = std::ranges::find(kept, recipe, [](const auto& each) { return each.first; });
  if (known != kept.end()) {
    kept.splice(kept.begin(), kept, known);
  } else {
    kept.emplace_front(recipe, build(recipe));
    if (kept.size() > kKept) kept.pop_back();
  }
  return kept.front().second;
}

}  // namespace

ZimgGraph::ZimgGraph(cv::Size source, const Resize& resize, const Format& format)
    : source_(source), target_(resize.to), format_(format), graph_(graph_for({source, resize, format})) {}

cv::Mat ZimgGraph::scratch() const {
  std::size_t bytes = 0;
  zimg_filter_graph_get_tmp_size(graph_.get(), &bytes);
  return cv::Mat(1, static_cast<int>(bytes) + 1, CV_8UC1);
}

void ZimgGraph::fail(const sdk::Job& job) const {
  job.throw_if_cancelled();
  throw sdk::JobError(sdk::JobErrorCode::kInternal, "the resampler failed");
}

void ZimgGraph::run(const cv::Mat& from, cv::Mat& to, const sdk::Job& job) const {
  zimg_image_buffer_const source{};
  source.version = ZIMG_API_VERSION;
  source.plane[0] = {from.data, static_cast<ptrdiff_t>(from.step[0]), ZIMG_BUFFER_MAX};
  zimg_image_buffer target{};
  target.version = ZIMG_API_VERSION;
  target.plane[0] = {to.data, static_cast<ptrdiff_t>(to.step[0]), ZIMG_BUFFER_MAX};
  const cv::Mat memory = scratch();
  // zimg takes void*, and the callback only reads
  if (zimg_filter_graph_process(graph_.get(), &source, &target, memory.data, asked_to_stop, const_cast<sdk::Job*>(&job),
                                nullptr, nullptr) != ZIMG_ERROR_SUCCESS) {
    fail(job);
  }
}

void ZimgGraph::run(const Unpack& unpack, const Pack& pack, const sdk::Job& job) const {
  unsigned lines_in = 0;
  unsigned lines_out = 0;
  zimg_filter_graph_get_input_buffering(graph_.get(), &lines_in);
  zimg_filter_graph_get_output_buffering(graph_.get(), &lines_out);
  LineBuffer in(lines_in, source_, format_.planes, format_.type_in);
  LineBuffer out(lines_out, target_, format_.planes, format_.type_out);
  zimg_image_buffer_const source{};
  source.version = ZIMG_API_VERSION;
  zimg_image_buffer target{};
  target.version = ZIMG_API_VERSION;
  for (int p = 0; p < format_.planes; ++p) {
    source.plane[p] = {in.plane(p), in.stride(), in.mask};
    target.plane[p] = {out.plane(p), out.stride(), out.mask};
  }
  Callback on_unpack{&unpack, &in, format_.planes, &job};
  Callback on_pack{&pack, &out, format_.planes, &job};
  const cv::Mat memory = scratch();
  if (zimg_filter_graph_process(graph_.get(), &source, &target, memory.data, Callback::call, &on_unpack, Callback::call,
                                &on_pack) != ZIMG_ERROR_SUCCESS) {
    fail(job);
  }
}

}  // namespace quern::image
