#include "worker/sdk/job.h"

#include <cstring>

#include "worker/sdk/object.h"

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

std::string_view Job::string(std::string_view param) const { return sdk::string(params(), param); }
std::int64_t Job::integer(std::string_view param) const { return sdk::integer(params(), param); }
double Job::number(std::string_view param) const { return sdk::number(params(), param); }
bool Job::boolean(std::string_view param) const { return sdk::boolean(params(), param); }
bool Job::has(std::string_view param) const noexcept { return sdk::has(params(), param); }
std::vector<double> Job::numbers(std::string_view param) const { return sdk::numbers(params(), param); }
const boost::json::array& Job::list(std::string_view param) const { return sdk::list(params(), param); }

}  // namespace quern::sdk
