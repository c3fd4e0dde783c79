#include "worker/jobs/image/render.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "worker/jobs/image/alpha.h"
#include "worker/jobs/image/codecs/exif.h"
#include "worker/jobs/image/color.h"
#include "worker/jobs/image/encode_params.h"
#include "worker/jobs/image/memory_estimate.h"
#include "worker/jobs/image/operations/resize_operation.h"
#include "worker/jobs/image/placeholder.h"
#include "worker/jobs/image/yuv.h"
#include "worker/sdk/object.h"

namespace quern::image {
namespace {

ResizeOperation* leading_resize(const Operations& operations) {
  return operations.empty() ? nullptr : dynamic_cast<ResizeOperation*>(operations.front().get());
}

std::span<const std::unique_ptr<Operation>> after_first(const Operations& operations) {
  return std::span(operations).subspan(1);
}

std::uint64_t area_of(const Shape& shape) {
  return static_cast<std::uint64_t>(shape.size.width) * static_cast<std::uint64_t>(shape.size.height);
}

bool can_animate(Format format) { return format == Format::kGif || format == Format::kWebp; }
bool can_hold_profile(Format format) { return format != Format::kGif && format != Format::kPlaceholder; }
// Whether a result of any of them may be an animation, as far as can be said before the input is open. Else the
// input's other frames are nobody's.
InputOptions limited_to_what_is_used(InputOptions options, const std::vector<Output>& outputs) {
  options.animated = options.animated && std::ranges::any_of(outputs, [](const Output& output) {
                       const boost::json::value* format = output.params.if_contains("format");
                       return format == nullptr || *format == "auto" || *format == "webp" || *format == "gif";
                     });
  return options;
}

bool can_be_transparent(Format format) { return format != Format::kJpeg; }

// One output in the making.
struct Track {
  Output& output;
  EncodeOptions options;
  std::unique_ptr<Encoder> encoder;
  Wishes wishes{};
  Color under{};  // transparent pixels, where the format has none: opaque
};

// The last resize that names a background, anywhere on the way, names it for formats without alpha, too.
void add_wishes(const Operations& operations, Track& track) {
  for (const auto& operation : operations) {
    const Wishes wishes = operation->wishes();
    track.wishes.srgb |= wishes.srgb;
    track.wishes.alpha |= wishes.alpha;
    const auto* resize = dynamic_cast<const ResizeOperation*>(operation.get());
    if (resize != nullptr) track.under = resize->request().background.value_or(track.under);
  }
  track.under.a = 255;
}

class Rendering {
 public:
  Rendering(sdk::Job& job, const InputOptions& input, Operations& shared, std::vector<Output>& outputs)
      : job_(job),
        input_(limited_to_what_is_used(input, outputs)),
        shared_(shared),
        outputs_(outputs),
        decoder_(open_input(job, 0, input_)) {
    const Header& header = decoder_->header();
    stored_ = {header.width, header.height};
    orientation_ = input_.auto_orient ? header.orientation : 1;
    metadata_ = decoder_->metadata();
    icc_to_apply_ = profile_to_apply(metadata_.icc, header.space);
  }

  void run() {
    const bool animated = prepare_tracks();
    const DecodeOptions options = decode_options();
    reserve_memory(options);
    const std::uint32_t frames = animated ? decoder_->header().frames : 1;
    const std::uint64_t steps = std::uint64_t{frames} * (1 + tracks_.size());
    std::uint64_t step = 0;
    for (std::uint32_t i = 0; i < frames; ++i) {
      const Frame frame = reading_part(job_, 0, [&] { return decoder_->next(options); });
      job_.progress(++step, steps, "resampling");
      render_frame(frame, i == 0);
      job_.progress(step += tracks_.size(), steps, "encoding");
    }
    for (Track& track : tracks_) {
      job_.throw_if_cancelled();
      track.encoder->finish(job_.output(track.output.name));
    }
  }

 private:
  // Whether any of them is an animation.
  bool prepare_tracks() {
    const Header& header = decoder_->header();
    bool animated = false;
    for (Output& output : outputs_) {
      Header result = header;
      const Size size = size_before_operations(output);
      result.width = size.width;
      result.height = size.height;
      EncodeOptions options = encode_options(output.params, result);
      if (input_.animated && header.frames > 1 && can_animate(options.format)) {
        options.frames = header.frames;
        animated = true;
      }
      Track track{.output = output, .options = std::move(options), .encoder = {}};
      add_wishes(shared_, track);
      add_wishes(output.operations, track);
      tracks_.push_back(std::move(track));
    }
    keep_metadata();
    return animated;
  }

  // Profile and metadata are left out unless they are asked for. Pixels keep their profile's colours if all outputs can
  // and shall keep it; those that are sRGB anyhow can keep it one by one, whatever else comes in.
  void keep_metadata() {
    const auto keeps = [](const Track& track, const char* what) {
      return sdk::has(track.output.params, what) && sdk::boolean(track.output.params, what);
    };
    const auto keeps_icc = [&](const Track& track) {
      return can_hold_profile(track.options.format) && (keeps(track, "keep_icc") || keeps(track, "keep_metadata"));
    };
    const bool can_keep_icc = decoder_->header().space != ColorSpace::kCmyk && describes_rgb(metadata_.icc);
    const bool all_keep_icc = can_keep_icc && std::ranges::all_of(tracks_, [&](const Track& each) {
                                return !each.wishes.srgb && keeps_icc(each);
                              });
    if (all_keep_icc) icc_to_apply_ = {};
    const int orientation = input_.auto_orient ? 1 : decoder_->header().orientation;
    if (orientation == 1) {
      reset_exif_orientation(metadata_.exif);  // whatever turned the pixels, they are upright now
    } else {
      set_exif_orientation(metadata_.exif, orientation);  // of a TIFF or AVIF, which say it elsewhere
    }
    for (Track& track : tracks_) {
      if (can_keep_icc && icc_to_apply_.empty() && keeps_icc(track)) track.options.metadata.icc = metadata_.icc;
      if (!keeps(track, "keep_metadata")) continue;
      track.options.orientation = orientation;
      track.options.metadata.exif = metadata_.exif;
      track.options.metadata.xmp = metadata_.xmp;
      check_format_holds(track.options.format, track.options.metadata);
    }
  }

  // The resizes that all of the picture's ways begin with; none if one of them begins otherwise.
  [[nodiscard]] std::vector<ResizeOperation*> leading_resizes() const {
    std::vector<ResizeOperation*> resizes;
    if (!shared_.empty()) {
      resizes.push_back(leading_resize(shared_));
    } else {
      for (const Track& track : tracks_) resizes.push_back(leading_resize(track.output.operations));
    }
    if (std::ranges::find(resizes, nullptr) != resizes.end()) resizes.clear();
    return resizes;
  }

  [[nodiscard]] DecodeOptions decode_options() const {
    const std::vector<ResizeOperation*> resizes = leading_resizes();
    if (resizes.empty()) return {};
    DecodeOptions options{.shrink = 8, .yuv_welcome = true};
    for (const ResizeOperation* resize : resizes) {
      const Plan plan = as_stored(plan_of(resize->request(), upright_size(stored_, orientation_)), orientation_);
      options.shrink = std::min(options.shrink, shrink_on_load(stored_, plan, decoder_->header().shrink_headroom));
      options.region |= needed_region(resize->request(), stored_, orientation_);
    }
    return options;
  }

  [[nodiscard]] ResizeOperation* first_resize(const Output& output) const {
    return leading_resize(shared_.empty() ? output.operations : shared_);
  }

  // What a result has after the resize that it begins with; else the whole picture, upright.
  [[nodiscard]] Size size_before_operations(const Output& output) const {
    const Size upright = upright_size(stored_, orientation_);
    const ResizeOperation* resize = first_resize(output);
    return resize != nullptr ? plan_of(resize->request(), upright).canvas : upright;
  }

  // From the decoder to the encoder. Throws for operations that are known to be refused.
  [[nodiscard]] OutputEstimate estimate_of(const Track& track) const {
    Shape shape{cv_size(upright_size(stored_, orientation_)), decoder_->header().alpha};
    const bool resizes_first = first_resize(track.output) != nullptr;
    OutputEstimate estimate{.format = track.options.format,
                            .palette = track.options.palette || track.options.format == Format::kGif,
                            .lossless = track.options.lossless || track.options.near_lossless,
                            .frames = track.options.frames};
    const MetadataView& metadata = track.options.metadata;
    estimate.metadata_bytes = metadata.icc.size() + metadata.exif.size() + metadata.xmp.size();
    if (!resizes_first) estimate.operated_pixels = area_of(shape);
    bool is_first = true;
    bool is_exact = true;
    for (const Operations* operations : {&shared_, &track.output.operations}) {
      for (const auto& operation : *operations) {
        if (is_exact) operation->check(shape, {});
        is_exact = is_exact && operation->is_exact();
        const Shape after = operation->after(shape);
        if (after.size != shape.size && area_of(after) > std::uint64_t{kPicturePixelsMax}) break;  // or it is refused
        if (!is_first || !resizes_first) {
          estimate.operated_pixels = std::max({estimate.operated_pixels, area_of(shape), area_of(after)});
        }
        shape = after;
        estimate.alpha = estimate.alpha || shape.alpha;
        is_first = false;
      }
    }
    estimate.pixels = area_of(shape);
    estimate.alpha = estimate.alpha || decoder_->header().alpha;
    return estimate;
  }

  // Large pictures wait here for their turn.
  void reserve_memory(const DecodeOptions& options) {
    std::vector<OutputEstimate> outputs;
    for (const Track& track : tracks_) outputs.push_back(estimate_of(track));
    std::uint64_t bytes = metadata_.size() + estimated_bytes(decoder_->header(), options, job_.input().size(), outputs);
    for (std::size_t i = 1; i < job_.inputs().size(); ++i) {
      bytes += estimated_bytes_of_whole(open_input(job_, i, input_)->header(), job_.inputs()[i].bytes.size());
    }
    job_.reserve_memory(bytes);
  }

  void render_frame(const Frame& frame, bool is_first) {
    const Source source{.picture = frame.picture,
                        .whole = stored_,
                        .decoded = frame.whole.empty() ? cv::Size2d(size_of(frame.picture)) : frame.whole,
                        .offset = frame.offset,
                        .orientation = orientation_,
                        .icc = icc_to_apply_};
    std::optional<cv::Mat> shared;
    if (!shared_.empty() || leading_resizes().empty()) shared = shared_picture(source);
    for (Track& track : tracks_) {
      if (!is_first && track.options.frames == 1) continue;
      job_.throw_if_cancelled();
      encode(track, shared ? after_shared(*shared, track) : straight_from(source, track), frame.delay_ms);
    }
  }

  // What all outputs begin with.
  cv::Mat shared_picture(const Source& source) {
    Context context = context_for();
    ResizeOperation* resize = leading_resize(shared_);
    if (resize != nullptr) return apply_all(after_first(shared_), to_rgb(resize->apply(source, {}, job_)), context);
    const cv::Mat picture = to_rgb(upright(source.picture, source.orientation));
    return apply_all(shared_, to_srgb(picture, source.icc), context);
  }

  Picture after_shared(const cv::Mat& shared, Track& track) {
    Context context = context_for();
    return apply_all(track.output.operations, shared, context);
  }

  Picture straight_from(const Source& source, Track& track) {
    ResizeOperation* resize = leading_resize(track.output.operations);
    const bool is_all = track.output.operations.size() == 1;
    Picture picture = resize->apply(source, is_all ? preferred_layout(track.options) : std::nullopt, job_);
    if (is_all) return picture;
    Context context = context_for();
    return apply_all(after_first(track.output.operations), to_rgb(picture), context);
  }

  void encode(Track& track, Picture picture, std::uint32_t delay_ms) {
    if (auto* rgb = std::get_if<cv::Mat>(&picture)) {
      if (track.options.frames == 1 && !track.wishes.alpha) *rgb = without_opaque_alpha(*rgb);
      if (!can_be_transparent(track.options.format)) *rgb = flatten(*rgb, track.under);
      // a profile that is kept is of three channels, and not to be found beside one
      track.options.grey = track.options.frames == 1 && track.options.metadata.icc.empty() && is_grey(*rgb);
    }
    if (!track.encoder) {
      check_format_holds(track.options.format, size_of(picture));
      track.encoder = track.options.format == Format::kPlaceholder
                          ? make_placeholder_encoder(track.options.placeholder, job_)
                          : make_encoder(track.options, job_);
    }
    track.encoder->add({.picture = std::move(picture), .delay_ms = delay_ms});
  }

  Context context_for() {
    return {.job = job_, .inputs = job_.inputs().size(), .input = [this](std::size_t part) -> const cv::Mat& {
              return other_picture(part);
            }};
  }

  // Each is decoded once.
  const cv::Mat& other_picture(std::size_t part) {
    const auto [other, is_new] = others_.try_emplace(part);
    if (is_new) other->second = first_picture(job_, part, input_);
    return other->second;
  }

  sdk::Job& job_;
  const InputOptions input_;
  Operations& shared_;
  std::vector<Output>& outputs_;
  std::unique_ptr<Decoder> decoder_;
  Size stored_;
  int orientation_ = 1;
  Metadata metadata_{};
  Bytes icc_to_apply_{};  // of metadata_; empty when the pixels are sRGB without it, or keep it
  std::vector<Track> tracks_{};
  std::map<std::size_t, cv::Mat> others_{};  // by input part
};

}  // namespace

void render(sdk::Job& job, const InputOptions& input, Operations& shared, std::vector<Output>& outputs) {
  Rendering(job, input, shared, outputs).run();
}

}  // namespace quern::image
