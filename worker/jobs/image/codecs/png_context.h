// libspng's context as an owner, its failures as exceptions, its rows as a loop.
#pragma once

#include <spng.h>

#include <cstdint>
#include <memory>
#include <new>
#include <string>

#include "worker/jobs/image/codecs/handle.h"
#include "worker/sdk/job.h"

namespace quern::image::png {

using Context = Handle<spng_ctx, spng_ctx_free>;

inline void check(int failure, sdk::JobErrorCode code = sdk::JobErrorCode::kBadInput) {
  if (failure == SPNG_EMEM) throw std::bad_alloc();
  if (failure == SPNG_EOVERFLOW) code = sdk::JobErrorCode::kTooLarge;  // a size that no memory has
  if (failure != 0) throw sdk::JobError(code, "PNG: " + std::string(spng_strerror(failure)));
}

// Runs `step` on each row; it returns spng's status.
template <class Step>
void for_each_row(spng_ctx* context, const sdk::Job& job, sdk::JobErrorCode code, Step step) {
  constexpr std::uint32_t kRowsPerPoll = 64;
  int status = 0;
  for (std::uint32_t row = 0; status == 0; ++row) {
    if (row % kRowsPerPoll == 0) job.throw_if_cancelled();
    spng_row_info info{};
    status = spng_get_row_info(context, &info);
    if (status == 0) status = step(info.row_num);
  }
  if (status != SPNG_EOI) check(status, code);
}

}  // namespace quern::image::png
