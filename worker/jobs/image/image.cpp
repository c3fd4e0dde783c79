// The image module: what people use sharp for, in a process of its own.
//
// A header is checked against the limits before a pixel is allocated, and every decoder's complaint is the job's
// error, never the worker's death. codec.h reads and writes files, operations/ works on pixels, render.h goes from one
// to the other, and the kinds stand in *_kind.cpp.
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <utility>

#include "worker/jobs/image/kinds.h"
#include "worker/jobs/image/lab.h"
#include "worker/jobs/image/resample.h"

namespace {

namespace sdk = quern::sdk;
namespace image = quern::image;

// OpenCV has an exception of its own for what is std::bad_alloc elsewhere.
sdk::Kind guarded(sdk::Kind kind) {
  kind.run = [run = std::move(kind.run)](sdk::Job& job) {
    try {
      run(job);
    } catch (const cv::Exception& failure) {
      if (failure.code == cv::Error::StsNoMem) throw std::bad_alloc();
      throw;
    }
  };
  return kind;
}

void preload() {
  cv::setNumThreads(1);  // a worker is one thread: OpenCV must start none
  image::prepare_lab_tables();
}

sdk::Module describe_module() {
  sdk::Module module;
  module.name = "image";
  for (auto kind : {image::resize_kind, image::process_kind, image::info_kind, image::stats_kind, image::compare_kind,
                    image::placeholder_kind}) {
    module.kinds.push_back(guarded(kind()));
  }
  module.preload = preload;
  return module;
}

}  // namespace

QUERN_JOB_MODULE(describe_module)
