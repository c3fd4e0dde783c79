#include <algorithm>
#include <exception>
#include <span>

#include "worker/jobs/image/codecs/formats.h"
#include "worker/jobs/image/codecs/jpeg_error.h"
#include "worker/jobs/image/codecs/still.h"
#include "worker/jobs/image/yuv.h"

namespace quern::image::jpeg {
namespace {

// libjpeg writes straight into the result; an exception waits here until libjpeg's frames are left.
struct Destination {
  jpeg_destination_mgr manager{};  // first: libjpeg hands back a pointer to it
  sdk::Output* output = nullptr;
  std::span<std::byte> room{};
  std::size_t room_bytes = 64U << 10;
  std::exception_ptr failure{};

  explicit Destination(sdk::Output& to) : output(&to) {
    manager.init_destination = [](j_compress_ptr codec) { take_room(codec); };
    manager.empty_output_buffer = [](j_compress_ptr codec) -> boolean {
      commit(codec, of(codec).room.size());  // all of it, whatever free_in_buffer says
      take_room(codec);
      return TRUE;
    };
    manager.term_destination = [](j_compress_ptr codec) {
      commit(codec, of(codec).room.size() - of(codec).manager.free_in_buffer);
    };
  }

  static Destination& of(j_compress_ptr codec) { return *reinterpret_cast<Destination*>(codec->dest); }

  static void take_room(j_compress_ptr codec) {
    Destination& self = of(codec);
    try {
      self.room = self.output->prepare(self.room_bytes);
      self.room_bytes = std::min<std::size_t>(self.room_bytes * 2, 1U << 20);
    } catch (...) {
      self.failure = std::current_exception();
    }
    if (self.failure) leave(codec);
    self.manager.next_output_byte = reinterpret_cast<JOCTET*>(self.room.data());
    self.manager.free_in_buffer = self.room.size();
  }

  static void commit(j_compress_ptr codec, std::size_t bytes) {
    try {
      of(codec).output->commit(bytes);
    } catch (...) {
      of(codec).failure = std::current_exception();
    }
    if (of(codec).failure) leave(codec);
  }

  [[noreturn]] static void leave(j_compress_ptr codec) {
    longjmp(reinterpret_cast<ErrorHandler*>(codec->err)->escape, 1);
  }
};

class Compressor {
 public:
  Compressor(sdk::Output& output, const sdk::Job& job) : destination_(output) {
    handler_.job = &job;
    handler_.install(codec_.err);
    if (!try_create()) fail();
  }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  ~Compressor() { jpeg_destroy_compress(&codec_); }

  void encode(const cv::Mat& picture, int quality) {
    codec_.image_width = static_cast<JDIMENSION>(picture.cols);
    codec_.image_height = static_cast<JDIMENSION>(picture.rows);
    codec_.input_components = 3;
    codec_.in_color_space = JCS_RGB;
    if (!try_encode(picture.data, picture.step[0], quality)) fail();
  }

 private:
  [[noreturn]] void fail() const {
    if (destination_.failure) std::rethrow_exception(destination_.failure);
    handler_.fail(sdk::JobErrorCode::kInternal);
  }

  bool try_create() {
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_create_compress(&codec_);
    codec_.dest = &destination_.manager;
    return true;
  }

  bool try_encode(unsigned char* first_row, std::size_t stride, int quality) {
    constexpr JDIMENSION kRowsPerPoll = 64;
    if (setjmp(handler_.escape) != 0) return false;
    jpeg_set_defaults(&codec_);  // 4:2:0 chroma, as sharp's default
    jpeg_set_quality(&codec_, quality, TRUE);
    codec_.optimize_coding = TRUE;
    jpeg_start_compress(&codec_, TRUE);
    while (codec_.next_scanline < codec_.image_height) {
      if (codec_.next_scanline % kRowsPerPoll == 0 && handler_.cancelled()) return false;
      JSAMPROW row = first_row + codec_.next_scanline * stride;
      (void)jpeg_write_scanlines(&codec_, &row, 1);
    }
    jpeg_finish_compress(&codec_);
    return true;
  }

  jpeg_compress_struct codec_{};
  Destination destination_;
  ErrorHandler handler_{};
};

}  // namespace

std::unique_ptr<Encoder> make_encoder(const EncodeOptions& options, const sdk::Job& job) {
  return std::make_unique<StillEncoder>([options, &job](const Picture& picture, sdk::Output& output) {
    Compressor(output, job).encode(to_rgb(picture), options.quality);
  });
}

}  // namespace quern::image::jpeg
