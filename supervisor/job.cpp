#include "supervisor/job.h"

#include <string.h>

#include <utility>

namespace quern::supervisor {

std::unique_ptr<Job> JobStore::acquire() {
  std::unique_ptr<Job> job;
  if (spare_.empty()) {
    job = std::make_unique<Job>();
  } else {
    job = std::move(spare_.back());
    spare_.pop_back();
  }
  job->id = next_id_++;
  return job;
}

void JobStore::release(std::unique_ptr<Job> job) noexcept {
  const bool secret = job->kind != nullptr && job->kind->sensitive;
  if (secret && !job->body.empty()) ::explicit_bzero(job->body.data(), job->body.size());
  if (job->payload_bytes >= FdCloser::kQuickBytes) {
    closer_.close(std::move(job->body_fd));
    closer_.close(job->fds);
  }
  if (spare_.size() >= kSpareMax || job->body.capacity() > kSpareBodyBytesMax) return;
  std::vector<std::byte> body = std::move(job->body);
  std::vector<unique_fd> fds = std::move(job->fds);
  body.clear();
  fds.clear();
  Job& blank = *job;
  blank.~Job();
  ::new (&blank) Job{};
  blank.body = std::move(body);
  blank.fds = std::move(fds);
  if (spare_.capacity() == 0) spare_.reserve(kSpareMax);
  spare_.push_back(std::move(job));
}

}  // namespace quern::supervisor
