#include "ipc/wire.h"

#include <fmt/format.h>

#include <limits>

namespace quern::wire {
namespace {

// Tags of optional fields. One number space over all frames; never reuse a number.
enum class Tag : std::uint16_t {
  kClientName = 1,
  kServerVersion = 2,
  kQueueTimeoutMs = 3,
  kRunTimeoutMs = 4,
  kDeadlineMs = 5,
  kAttempts = 6,
  kJobId = 7,
  kQueueNs = 8,
  kRunNs = 9,
  kRetryOn = 10,
  kOutputFile = 0x8000 | 11,  // who does not know these must not run the job
  kSharedBuffers = 0x8000 | 12,
};
constexpr std::uint16_t kCriticalTag = 0x8000;

Error malformed(std::string_view what) {
  return Error{.code = ErrorCode::kProtocolError, .message = fmt::format("malformed frame: {}", what)};
}

void put_tag(ByteWriter& out, Tag tag, std::uint32_t bytes) {
  out.number(static_cast<std::uint16_t>(tag));
  out.number(bytes);
}
template <class T>
void put_number(ByteWriter& out, Tag tag, T value) {
  put_tag(out, tag, sizeof(T));
  out.number(value);
}
void put_text(ByteWriter& out, Tag tag, std::string_view text) {
  put_tag(out, tag, static_cast<std::uint32_t>(text.size()));
  out.text(text);
}

// Calls visit(tag, value) for each field; visit returns whether it knew the tag and liked the value's size.
enum class Seen { kTaken, kUnknown, kBadValue };
template <class Visit>
Result<void> for_each_option(ByteSpan options, Visit visit) {
  ByteReader in(options);
  while (!in.rest().empty()) {
    const auto tag = in.number<std::uint16_t>();
    const auto bytes = in.number<std::uint32_t>();
    const ByteSpan value = in.bytes(bytes);
    if (!in.ok()) return malformed("an optional field is cut short");
    switch (visit(static_cast<Tag>(tag), value)) {
      case Seen::kTaken: break;
      case Seen::kUnknown:
        if ((tag & kCriticalTag) != 0) {
          return Error{.code = ErrorCode::kInvalidArgument,
                       .message = fmt::format("this server does not know the required option {:#06x}", tag)};
        }
        break;
      case Seen::kBadValue: return malformed(fmt::format("option {} has a value of the wrong size", tag));
    }
  }
  return {};
}

template <class T, class Into>
Seen take_number(ByteSpan value, Into& into) {
  if (value.size() != sizeof(T)) return Seen::kBadValue;
  into = ByteReader(value).number<T>();
  return Seen::kTaken;
}

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

// ---- Frames ------------------------------------------------------------------------------------

FrameHeader decode_header(ByteSpan bytes) noexcept {
  ByteReader in(bytes);
  FrameHeader header;
  header.body_bytes = in.number<std::uint32_t>();
  header.type = static_cast<FrameType>(in.number<std::uint8_t>());
  header.flags = in.number<std::uint8_t>();
  header.fd_count = in.number<std::uint16_t>();
  header.request_id = in.number<std::uint64_t>();
  return header;
}

void encode_header(ByteWriter& out, const FrameHeader& header) {
  out.number(header.body_bytes);
  out.number(static_cast<std::uint8_t>(header.type));
  out.number(header.flags);
  out.number(header.fd_count);
  out.number(header.request_id);
}

FrameBuilder::FrameBuilder(Buffer& out, FrameType type, std::uint64_t request_id, std::uint16_t fd_count)
    : writer_(out), start_(out.size()) {
  encode_header(writer_, {.type = type, .fd_count = fd_count, .request_id = request_id});
}

void FrameBuilder::finish(std::uint64_t more_bytes) {
  const std::uint64_t body = writer_.size() - start_ - kHeaderBytes + more_bytes;
  if (body > std::numeric_limits<std::uint32_t>::max()) throw std::length_error("a frame's body exceeds 4 GiB");
  writer_.patch(start_, static_cast<std::uint32_t>(body));
}

// ---- Handshake ---------------------------------------------------------------------------------

void encode_hello(Buffer& out, const Hello& hello) {
  FrameBuilder frame(out, FrameType::kHello, 0);
  frame.body().number(kMagic);
  frame.body().number(hello.version_min);
  frame.body().number(hello.version_max);
  frame.body().number(hello.features);
  if (!hello.client_name.empty()) put_text(frame.body(), Tag::kClientName, hello.client_name.substr(0, 63));
  frame.finish();
}

Result<Hello> decode_hello(ByteSpan body) {
  ByteReader in(body);
  const auto magic = in.number<std::uint32_t>();
  Hello hello;
  hello.version_min = in.number<std::uint16_t>();
  hello.version_max = in.number<std::uint16_t>();
  hello.features = in.number<std::uint32_t>();
  if (!in.ok() || magic != kMagic) return malformed("the connection does not begin with a Quern hello");
  const auto options = for_each_option(in.rest(), [&](Tag tag, ByteSpan value) {
    if (tag != Tag::kClientName) return Seen::kUnknown;
    if (value.size() > 63) return Seen::kBadValue;
    hello.client_name = ipc::as_text(value);
    return Seen::kTaken;
  });
  if (!options) return options.error();
  return hello;
}

void encode_welcome(Buffer& out, const Welcome& welcome) {
  FrameBuilder frame(out, FrameType::kWelcome, 0);
  frame.body().number(kMagic);
  frame.body().number(welcome.version);
  frame.body().number(std::uint16_t{0});
  frame.body().number(welcome.frame_bytes_max);
  frame.body().number(welcome.jobs_max);
  frame.body().number(welcome.payload_bytes_max);
  if (!welcome.server_version.empty()) put_text(frame.body(), Tag::kServerVersion, welcome.server_version);
  frame.finish();
}

Result<Welcome> decode_welcome(ByteSpan body) {
  ByteReader in(body);
  const auto magic = in.number<std::uint32_t>();
  Welcome welcome;
  welcome.version = in.number<std::uint16_t>();
  (void)in.number<std::uint16_t>();
  welcome.frame_bytes_max = in.number<std::uint32_t>();
  welcome.jobs_max = in.number<std::uint32_t>();
  welcome.payload_bytes_max = in.number<std::uint64_t>();
  if (!in.ok() || magic != kMagic) return malformed("the server's welcome is not Quern's");
  const auto options = for_each_option(in.rest(), [&](Tag tag, ByteSpan value) {
    if (tag != Tag::kServerVersion) return Seen::kUnknown;
    welcome.server_version = ipc::as_text(value);
    return Seen::kTaken;
  });
  if (!options) return options.error();
  return welcome;
}

// ---- Parts -------------------------------------------------------------------------------------

void encode_parts_table(ByteWriter& out, std::span<const Part> parts) {
  out.number(static_cast<std::uint16_t>(parts.size()));
  out.number(std::uint16_t{0});
  for (const Part& part : parts) {
    out.number(static_cast<std::uint8_t>(part.place));
    out.number(static_cast<std::uint8_t>(part.name.size()));
    out.number(std::uint16_t{0});
    out.number(part.bytes);
    out.text(part.name);
  }
}

void encode_parts(ByteWriter& out, std::span<const Part> parts) {
  encode_parts_table(out, parts);
  for (const Part& part : parts) {
    if (part.place == Place::kInline) out.bytes(part.data);
  }
}

Result<void> decode_parts(ByteSpan bytes, std::vector<Part>& parts) {
  parts.clear();
  ByteReader in(bytes);
  const auto count = in.number<std::uint16_t>();
  (void)in.number<std::uint16_t>();
  if (!in.ok()) return malformed("the list of parts is cut short");
  if (count > kPartsMax) return malformed(fmt::format("{} parts; at most {} are allowed", count, kPartsMax));
  for (std::uint16_t i = 0; i < count; ++i) {
    const auto where = in.number<std::uint8_t>();
    const auto name_bytes = in.number<std::uint8_t>();
    (void)in.number<std::uint16_t>();
    const auto part_bytes = in.number<std::uint64_t>();
    const std::string_view part_name = in.text(name_bytes);
    if (!in.ok()) return malformed("the list of parts is cut short");
    if (where > static_cast<std::uint8_t>(Place::kElsewhere)) return malformed("a part is in an unknown place");
    if (name_bytes > kPartNameBytesMax) return malformed("a part's name is longer than 47 bytes");
    parts.push_back(Part{.name = part_name, .place = static_cast<Place>(where), .bytes = part_bytes, .data = {}});
  }
  for (Part& part : parts) {
    if (part.place != Place::kInline) continue;
    if (part.bytes > in.rest().size()) return malformed("an inline part is longer than its frame");
    part.data = in.bytes(static_cast<std::size_t>(part.bytes));
  }
  if (!in.rest().empty()) return malformed("bytes follow the last part");
  return {};
}

// ---- Jobs --------------------------------------------------------------------------------------

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

// ---- Shared buffers ----------------------------------------------------------------------------

void encode_buffer_request(ByteWriter& out, const BufferRequest& request) {
  out.number(static_cast<std::uint8_t>(request.op));
  out.number(static_cast<std::uint8_t>(request.access));
  out.number(static_cast<std::uint8_t>(request.name.size()));
  out.number(std::uint8_t{0});
  out.number(request.gid);
  out.number(request.id);
  out.text(request.name);
}

Result<BufferRequest> decode_buffer_request(ByteSpan body) {
  ByteReader in(body);
  BufferRequest request;
  const auto op = in.number<std::uint8_t>();
  const auto access = in.number<std::uint8_t>();
  const auto name_bytes = in.number<std::uint8_t>();
  (void)in.number<std::uint8_t>();
  request.gid = in.number<std::uint32_t>();
  request.id = in.number<std::uint64_t>();
  request.name = in.text(name_bytes);
  if (!in.ok()) return malformed("the buffer request is cut short");
  if (op < 1 || op > static_cast<std::uint8_t>(BufferOp::kRelease)) return malformed("an unknown buffer request");
  if (access > static_cast<std::uint8_t>(BufferAccess::kEveryone)) return malformed("an unknown access to a buffer");
  request.op = static_cast<BufferOp>(op);
  request.access = static_cast<BufferAccess>(access);
  return request;
}

void encode_attached(ByteWriter& out, const Attached& attached) {
  out.number(attached.id);
  out.number(attached.bytes);
}

Result<Attached> decode_attached(ByteSpan body) {
  ByteReader in(body);
  Attached attached;
  attached.id = in.number<std::uint64_t>();
  attached.bytes = in.number<std::uint64_t>();
  if (!in.ok()) return malformed("the buffer's answer is cut short");
  return attached;
}

// ---- Operators ---------------------------------------------------------------------------------

void encode_admin(ByteWriter& out, const Admin& admin) {
  out.number(static_cast<std::uint8_t>(admin.op));
  out.number(static_cast<std::uint8_t>(admin.pool.size()));
  out.number(std::uint16_t{0});
  out.number(admin.value);
  out.text(admin.pool);
}

Result<Admin> decode_admin(ByteSpan body) {
  ByteReader in(body);
  Admin admin;
  admin.op = static_cast<AdminOp>(in.number<std::uint8_t>());
  const auto pool_bytes = in.number<std::uint8_t>();
  (void)in.number<std::uint16_t>();
  admin.value = in.number<std::uint64_t>();
  admin.pool = in.text(pool_bytes);
  if (!in.ok()) return malformed("an operator's request is cut short");
  if (admin.op < AdminOp::kStatus || admin.op > AdminOp::kBuffers) return malformed("an unknown operator's request");
  return admin;
}

}  // namespace quern::wire
