// How libjpeg's errors leave its frames.
//
// libjpeg reports an error by a callback that must not return, and C++ exceptions must not cross its
// frames. So the callback longjmps out to a `try_...` function, which calls setjmp and libjpeg and holds
// nothing with a destructor; that one returns false, and its caller throws.
#pragma once

#include <setjmp.h>

#include <cstdio>
#include <new>
#include <string>
#include <string_view>

// after <cstdio>, which it needs and does not include
#include <jpeglib.h>

#include <jerror.h>

#include "worker/jobs/image/codec.h"
#include "worker/sdk/job.h"

namespace quern::image::jpeg {

// What says whose an APP1 marker is.
inline constexpr std::string_view kExifPrefix("Exif\0\0", 6);
inline constexpr std::string_view kXmpPrefix("http://ns.adobe.com/xap/1.0/\0", 29);

struct ErrorHandler {
  jpeg_error_mgr manager{};  // first: libjpeg hands back a pointer to it
  jmp_buf escape{};
  char message[JMSG_LENGTH_MAX]{};
  const sdk::Job* job = nullptr;
  FailOn fail_on = FailOn::kWarning;  // of a decoder

  // Sets the codec's error manager. `escape` must be set before the codec is used.
  void install(jpeg_error_mgr*& slot) {
    slot = jpeg_std_error(&manager);
    manager.error_exit = on_error;
    manager.emit_message = on_message;
  }

  // After a try_... function returned false.
  [[noreturn]] void fail(sdk::JobErrorCode code) const {
    job->throw_if_cancelled();
    if (manager.msg_code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();
    throw sdk::JobError(code, "JPEG: " + std::string(message));
  }

  [[nodiscard]] bool cancelled() const noexcept { return job->cancel_requested(); }

 private:
  [[noreturn]] static void on_error(j_common_ptr codec) {
    auto* handler = reinterpret_cast<ErrorHandler*>(codec->err);
    codec->err->format_message(codec, handler->message);
    longjmp(handler->escape, 1);
  }

  // Levels below 0 are corrupt data that libjpeg would paper over: a premature end becomes grey rows.
  static void on_message(j_common_ptr codec, int level) {
    if (level < 0 && is_fatal(codec->err->msg_code, reinterpret_cast<ErrorHandler*>(codec->err)->fail_on))
      on_error(codec);
  }

  static bool is_fatal(int warning, FailOn fail_on) {
    switch (warning) {
      case JWRN_JPEG_EOF: return fail_on >= FailOn::kTruncated;
      case JWRN_EXTRANEOUS_DATA:  // bytes between markers: many cameras write some; and others that cost no pixel
      case JWRN_JFIF_MAJOR:
      case JWRN_ADOBE_XFORM:
      case JWRN_BOGUS_ICC: return false;
      default: return fail_on >= FailOn::kWarning;
    }
  }
};

}  // namespace quern::image::jpeg
