// The half of wire.h that is about jobs: what is submitted, and what comes back.
#include "ipc/wire_fields.h"

namespace quern::wire {
namespace {

Seen take_ids(ByteSpan value, std::vector<std::uint64_t>& ids) {
  const std::size_t count = value.size() / sizeof(std::uint64_t);
  const bool again = !ids.empty();  // no tag comes twice; this one would add up
  if (again || value.size() % sizeof(std::uint64_t) != 0 || count < 1 || count > kSharedBuffersMax) {
    return Seen::kBadValue;
  }
  ByteReader in(value);
  for (std::size_t i = 0; i < count; ++i) ids.push_back(in.number<std::uint64_t>());
  return Seen::kTaken;
}

}  // namespace

void encode_submit_head(ByteWriter& out, std::string_view kind, const JobOptions& options) {
  out.number(static_cast<std::uint8_t>(kind.size()));
  out.number(options.priority);
  out.number(static_cast<std::uint8_t>((options.no_wait ? kSubmitNoWait : 0) |
                                       (options.want_progress ? kSubmitWantProgress : 0) |
                                       (options.stream ? kSubmitStream : 0)));
  out.number(std::uint8_t{0});
  const std::size_t length_at = out.size();
  out.number(std::uint32_t{0});
  out.text(kind);
  const std::size_t options_at = out.size();
  if (options.queue_timeout_ms) put_number(out, Tag::kQueueTimeoutMs, *options.queue_timeout_ms);
  if (options.run_timeout_ms) put_number(out, Tag::kRunTimeoutMs, *options.run_timeout_ms);
  if (options.deadline_ms) put_number(out, Tag::kDeadlineMs, *options.deadline_ms);
  if (options.attempts) put_number(out, Tag::kAttempts, *options.attempts);
  if (options.retry_on) put_number(out, Tag::kRetryOn, static_cast<std::uint8_t>(*options.retry_on));
  if (options.output_file) put_tag(out, Tag::kOutputFile, 0);
  if (!options.shared_buffers.empty()) {
    put_tag(out, Tag::kSharedBuffers,
            static_cast<std::uint32_t>(options.shared_buffers.size() * sizeof(std::uint64_t)));
    for (const std::uint64_t id : options.shared_buffers) out.number(id);
  }
  out.patch(length_at, static_cast<std::uint32_t>(out.size() - options_at));
}

void encode_job_body(ByteWriter& out, std::string_view params_json, std::span<const Part> parts) {
  out.number(static_cast<std::uint32_t>(params_json.size()));
  out.text(params_json);
  encode_parts(out, parts);
}

Result<std::optional<Submit>> decode_submit_head(ByteSpan begun) {
  ByteReader in(begun);
  const auto kind_bytes = in.number<std::uint8_t>();
  Submit submit;
  submit.options.priority = in.number<std::uint8_t>();
  const auto flags = in.number<std::uint8_t>();
  (void)in.number<std::uint8_t>();
  const auto options_bytes = in.number<std::uint32_t>();
  if (options_bytes > kSubmitOptionsBytesMax) {
    return malformed(
        fmt::format("{} bytes of optional fields; at most {} are allowed", options_bytes, kSubmitOptionsBytesMax));
  }
  submit.kind = in.text(kind_bytes);
  const ByteSpan option_fields = in.bytes(options_bytes);
  submit.job_body = in.rest();
  if (!in.ok()) return std::optional<Submit>();
  submit.options.no_wait = (flags & kSubmitNoWait) != 0;
  submit.options.want_progress = (flags & kSubmitWantProgress) != 0;
  submit.options.stream = (flags & kSubmitStream) != 0;
  const auto options = for_each_option(option_fields, [&](Tag tag, ByteSpan value) {
    switch (tag) {
      case Tag::kQueueTimeoutMs: return take_number<std::uint32_t>(value, submit.options.queue_timeout_ms);
      case Tag::kRunTimeoutMs: return take_number<std::uint32_t>(value, submit.options.run_timeout_ms);
      case Tag::kDeadlineMs: return take_number<std::uint32_t>(value, submit.options.deadline_ms);
      case Tag::kAttempts: return take_number<std::uint32_t>(value, submit.options.attempts);
      case Tag::kRetryOn: {
        std::uint8_t bits = 0;
        const Seen seen = take_number<std::uint8_t>(value, bits);
        submit.options.retry_on = static_cast<RetryOn>(bits & static_cast<std::uint8_t>(RetryOn::kAll));
        return seen;
      }
      case Tag::kOutputFile: submit.options.output_file = true; return value.empty() ? Seen::kTaken : Seen::kBadValue;
      case Tag::kSharedBuffers: return take_ids(value, submit.options.shared_buffers);
      default: return Seen::kUnknown;
    }
  });
  if (!options) return options.error();
  return std::optional(submit);
}

Result<Submit> decode_submit(ByteSpan body) {
  const auto submit = decode_submit_head(body);
  if (!submit) return submit.error();
  if (!submit->has_value()) return malformed("the submit frame is cut short");
  return **submit;
}

Result<JobBody> decode_job_body(ByteSpan job_body) {
  ByteReader in(job_body);
  const auto params_bytes = in.number<std::uint32_t>();
  JobBody decoded;
  decoded.params_json = in.text(params_bytes);
  decoded.parts = in.rest();
  if (!in.ok()) return malformed("the job's parameters are cut short");
  return decoded;
}

void encode_result_head(ByteWriter& out, const ResultInfo& info) {
  const std::size_t length_at = out.size();
  out.number(std::uint32_t{0});
  const std::size_t options_at = out.size();
  put_number(out, Tag::kJobId, info.job_id);
  put_number(out, Tag::kQueueNs, info.queue_ns);
  put_number(out, Tag::kRunNs, info.run_ns);
  put_number(out, Tag::kAttempts, info.attempts);
  out.patch(length_at, static_cast<std::uint32_t>(out.size() - options_at));
}

Result<ResultView> decode_result(ByteSpan body) {
  ByteReader in(body);
  const auto options_bytes = in.number<std::uint32_t>();
  const ByteSpan option_fields = in.bytes(options_bytes);
  ResultView view;
  view.parts = in.rest();
  if (!in.ok()) return malformed("the result is cut short");
  const auto options = for_each_option(option_fields, [&](Tag tag, ByteSpan value) {
    switch (tag) {
      case Tag::kJobId: return take_number<std::uint64_t>(value, view.info.job_id);
      case Tag::kQueueNs: return take_number<std::uint64_t>(value, view.info.queue_ns);
      case Tag::kRunNs: return take_number<std::uint64_t>(value, view.info.run_ns);
      case Tag::kAttempts: return take_number<std::uint32_t>(value, view.info.attempts);
      default: return Seen::kUnknown;
    }
  });
  if (!options) return options.error();
  return view;
}

// u16 code, u8 cause, u8 flags (1: a retry can help), i32 detail, u64 job_id, u32 retry_after_ms,
// u16 field_bytes, u16 reserved, u32 message_bytes, field, message, options (none yet).
void encode_error(ByteWriter& out, const Error& error) {
  const std::string_view field = std::string_view(error.field).substr(0, kFieldBytesMax);
  const std::string_view message = std::string_view(error.message).substr(0, kMessageBytesMax);
  out.number(static_cast<std::uint16_t>(error.code));
  out.number(static_cast<std::uint8_t>(error.cause.kind));
  out.number(static_cast<std::uint8_t>(can_retry(error.code) ? 1 : 0));
  out.number(error.cause.detail);
  out.number(error.job_id);
  out.number(error.retry_after_ms);
  out.number(static_cast<std::uint16_t>(field.size()));
  out.number(std::uint16_t{0});
  out.number(static_cast<std::uint32_t>(message.size()));
  out.text(field);
  out.text(message);
}

std::optional<Error> decode_error(ByteSpan body) {
  ByteReader in(body);
  Error error;
  error.code = static_cast<ErrorCode>(in.number<std::uint16_t>());
  error.cause.kind = static_cast<CauseKind>(in.number<std::uint8_t>());
  (void)in.number<std::uint8_t>();
  error.cause.detail = in.number<std::int32_t>();
  error.job_id = in.number<std::uint64_t>();
  error.retry_after_ms = in.number<std::uint32_t>();
  const auto field_bytes = in.number<std::uint16_t>();
  (void)in.number<std::uint16_t>();
  const auto message_bytes = in.number<std::uint32_t>();
  if (field_bytes > kFieldBytesMax || message_bytes > kMessageBytesMax) return std::nullopt;
  error.field = in.text(field_bytes);
  error.message = in.text(message_bytes);
  if (!in.ok()) return std::nullopt;
  return error;
}

void encode_progress(ByteWriter& out, const Progress& progress) {
  out.number(progress.done);
  out.number(progress.total);
  out.number(static_cast<std::uint16_t>(progress.message.size()));
  out.text(progress.message);
}

Result<Progress> decode_progress(ByteSpan body) {
  ByteReader in(body);
  Progress progress;
  progress.done = in.number<std::uint64_t>();
  progress.total = in.number<std::uint64_t>();
  if (in.rest().empty())
    return in.ok() ? Result<Progress>(std::move(progress)) : malformed("a progress frame is cut short");
  const auto message_bytes = in.number<std::uint16_t>();
  progress.message = in.text(message_bytes);
  if (!in.ok() || message_bytes > kProgressMessageBytesMax)
    return malformed("a progress frame's message is cut short or too long");
  return progress;
}

}  // namespace quern::wire
