#include "worker/sdk/job.h"

#include <cstring>

namespace quern::sdk {

void Output::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const std::span<std::byte> room = prepare(bytes.size());
  std::memcpy(room.data(), bytes.data(), bytes.size());
  commit(bytes.size());
}

void Output::write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

void Job::throw_if_cancelled() const {
  if (cancel_requested()) throw JobError(JobErrorCode::kCancelled, "the job stopped because it was asked to");
}

std::string_view Job::string(std::string_view param) const { return params().at(param).as_string(); }
std::int64_t Job::integer(std::string_view param) const { return params().at(param).to_number<std::int64_t>(); }
double Job::number(std::string_view param) const { return params().at(param).to_number<double>(); }
bool Job::boolean(std::string_view param) const { return params().at(param).as_bool(); }
bool Job::has(std::string_view param) const noexcept { return params().contains(param); }

}  // namespace quern::sdk
