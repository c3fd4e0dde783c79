#include "supervisor/quarantine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "common/log.h"

namespace quern::supervisor {

namespace asio = boost::asio;

namespace {

// Hashed between two turns of the loop; about a quarter of a millisecond.
constexpr std::size_t kSliceBytes = 256U << 10;

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

asio::awaitable<void> add_bytes(Fingerprinter& into, ipc::ByteSpan bytes) {
  while (!bytes.empty()) {
    const auto slice = bytes.first(std::min(bytes.size(), kSliceBytes));
    into.add(slice);
    bytes = bytes.subspan(slice.size());
    if (!bytes.empty()) co_await asio::post(asio::use_awaitable);
  }
}

// The whole contents of a sealed memfd.
asio::awaitable<void> add_file(Fingerprinter& into, int memfd) {
  std::vector<std::byte> slice(kSliceBytes);
  off_t at = 0;
  for (;;) {
    const ssize_t n = ::pread(memfd, slice.data(), slice.size(), at);
    if (n <= 0) co_return;
    into.add(std::span(slice).first(static_cast<std::size_t>(n)));
    at += n;
    co_await asio::post(asio::use_awaitable);
  }
}

asio::awaitable<void> add_payload(Fingerprinter& into, const std::vector<unique_fd>& fds) {
  for (const unique_fd& fd : fds) {
    into.add_length(static_cast<std::uint64_t>(::lseek(fd.get(), 0, SEEK_END)));
    co_await add_file(into, fd.get());
  }
}

std::optional<unique_fd> duplicate(const unique_fd& fd) {
  unique_fd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  return copy ? std::optional(std::move(copy)) : std::nullopt;
}

// Nothing when descriptors are short: then this death goes uncounted.
std::optional<Quarantine::Content> copy_content(const Job& job) {
  Quarantine::Content content;
  if (job.body_fd) {
    auto copy = duplicate(job.body_fd);
    if (!copy) return std::nullopt;
    content.body_fd = std::move(*copy);
  } else {
    content.body = job.body;
  }
  for (const unique_fd& fd : job.fds) {
    auto copy = duplicate(fd);
    if (!copy) return std::nullopt;
    content.fds.push_back(std::move(*copy));
  }
  return content;
}

}  // namespace

bool counts_against_job(Cause cause) noexcept {
  switch (cause.kind) {
    case CauseKind::kSignaled: return cause.detail != SIGKILL;
    case CauseKind::kExited:
    case CauseKind::kOutOfMemory:
    case CauseKind::kSandboxViolation:
    case CauseKind::kChannelCorrupt:
    case CauseKind::kRunTimeout: return true;
    default: return false;
  }
}

// ---- At the door -----------------------------------------------------------------------------------

bool Quarantine::must_identify(const Job& job) const noexcept {
  if (entries_.empty() || job.fingerprint || !job.shared.empty()) return false;
  return std::ranges::any_of(entries_, [&](const Entry& entry) {
    return entry.kind == job.kind && entry.body_bytes == job.body_bytes() && entry.payload_bytes == job.payload_bytes;
  });
}

asio::awaitable<void> Quarantine::identify(Job& job) {
  Fingerprinter print(job.kind->name, job.body_bytes());
  if (job.body.empty() && job.body_fd) {
    co_await add_file(print, job.body_fd.get());
  } else {
    co_await add_bytes(print, job.body);
  }
  co_await add_payload(print, job.fds);
  job.fingerprint = print.finish();
}

std::optional<Error> Quarantine::refusal(const Job& job) {
  if (!job.fingerprint) return std::nullopt;
  const auto at = std::ranges::find(entries_, *job.fingerprint, &Entry::fingerprint);
  if (at == entries_.end() || !at->quarantined) return std::nullopt;
  ++at->refused;
  return Error{.code = ErrorCode::kQuarantined,
               .message = fmt::format("{} with these parameters and this payload has killed {} workers; an operator "
                                      "can look and release it: quern quarantine show {:016x}",
                                      at->kind->name, at->deaths, at->fingerprint.id()),
               .cause = at->last_deaths.back().cause};
}

// ---- Deaths and answers ----------------------------------------------------------------------------

void Quarantine::note_death(const Job& job, pid_t worker_pid, Cause cause, std::uint32_t deaths_max) {
  if (deaths_max == 0 || !counts_against_job(cause) || !job.shared.empty()) return;
  if (descriptors_hashed_ + job.fds.size() + 1 > kDescriptorsHashed) return;
  auto content = copy_content(job);
  if (!content) return;
  descriptors_hashed_ += content->descriptors();
  Entry seen{.kind = job.kind, .body_bytes = job.body_bytes(), .payload_bytes = job.payload_bytes};
  const Death death{.unix_ms = unix_ms(), .job_id = job.id, .worker_pid = worker_pid, .cause = cause};
  asio::co_spawn(io_, record(std::move(*content), std::move(seen), death, deaths_max), asio::detached);
}

asio::awaitable<void> Quarantine::record(Content content, Entry seen, Death death, std::uint32_t deaths_max) {
  Fingerprinter print(seen.kind->name, seen.body_bytes);
  if (content.body_fd) {
    co_await add_file(print, content.body_fd.get());
  } else {
    co_await add_bytes(print, content.body);
  }
  co_await add_payload(print, content.fds);
  seen.fingerprint = print.finish();
  descriptors_hashed_ -= content.descriptors();
  if (seen.kind->sensitive) ::explicit_bzero(content.body.data(), content.body.size());
  Entry& entry = entry_for(std::move(seen), content);
  close(content);  // unless it was kept
  ++entry.deaths;
  entry.last_deaths.push_back(death);
  if (entry.last_deaths.size() > kDeathsKept) entry.last_deaths.pop_front();
  if (entry.quarantined || entry.deaths < deaths_max) co_return;
  entry.quarantined = true;
  log_event(LogLevel::kWarn, "content_quarantined",
            {{"kind", entry.kind->name},
             {"id", fmt::format("{:016x}", entry.fingerprint.id())},
             {"deaths", entry.deaths},
             {"cause", describe(death.cause)},
             {"job", death.job_id}});
}

void Quarantine::note_answer(const Job& job) noexcept {
  if (!job.fingerprint) return;
  const auto at = std::ranges::find(entries_, *job.fingerprint, &Entry::fingerprint);
  if (at != entries_.end() && !at->quarantined) drop(at);
}

// ---- Entries ---------------------------------------------------------------------------------------

Quarantine::Entry& Quarantine::entry_for(Entry&& seen, Content& content) {
  if (const auto at = std::ranges::find(entries_, seen.fingerprint, &Entry::fingerprint); at != entries_.end()) {
    return *at;
  }
  if (entries_.size() >= kEntriesMax) {
    const auto suspect = std::ranges::find(entries_, false, &Entry::quarantined);
    drop(suspect != entries_.end() ? suspect : entries_.begin());
  }
  Entry& entry = entries_.emplace_back(std::move(seen));
  if (!entry.kind->sensitive) keep(entry, content);
  return entry;
}

// Takes the content, if there is room for it.
void Quarantine::keep(Entry& entry, Content& content) {
  const auto fits = [&] {
    return bytes_kept_ + entry.payload_bytes <= bytes_max_ &&
           descriptors_kept_ + content.descriptors() <= kDescriptorsKept;
  };
  for (auto old = entries_.begin(); old != entries_.end() && !fits(); ++old) {
    if (!old->quarantined) forget_content(*old);
  }
  if (!fits()) return;
  bytes_kept_ += entry.payload_bytes;
  descriptors_kept_ += content.descriptors();
  entry.content = std::exchange(content, {});
}

void Quarantine::forget_content(Entry& entry) noexcept {
  if (!entry.content) return;
  bytes_kept_ -= entry.payload_bytes;
  descriptors_kept_ -= entry.content->descriptors();
  close(*entry.content);
  entry.content.reset();
}

void Quarantine::close(Content& content) noexcept {
  closer_.close(std::move(content.body_fd));
  closer_.close(content.fds);
}

Quarantine::Entry* Quarantine::find(std::uint64_t id) noexcept {
  const auto at = std::ranges::find_if(entries_, [id](const Entry& entry) { return entry.fingerprint.id() == id; });
  return at == entries_.end() ? nullptr : &*at;
}

void Quarantine::release(std::uint64_t id) noexcept {
  const auto at = std::ranges::find_if(entries_, [id](const Entry& entry) { return entry.fingerprint.id() == id; });
  if (at != entries_.end()) drop(at);
}

void Quarantine::drop(std::list<Entry>::iterator at) noexcept {
  forget_content(*at);
  entries_.erase(at);
}

}  // namespace quern::supervisor
