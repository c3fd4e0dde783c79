// Frames, as the ends of a connection read them: bytes arrive in pieces of any size, a header says how
// long the body is, the type says what it is. Both directions' types are decoded.
//
// Oracle: whatever decodes, encodes to something that decodes equal; and the client's buffer, fed in
// pieces, yields the frames that lie in the bytes.
//
// Input: u8 bytes a piece, then the stream.
#include <sys/socket.h>

#include <array>
#include <tuple>
#include <vector>

#include "client/incoming.h"
#include "common/unique_fd.h"
#include "ipc/wire.h"
#include "tests/fuzz/input.h"

namespace quern::fuzz {
namespace {

constexpr std::uint32_t kBodyBytesMax = 64U << 10;

ipc::ByteSpan body_of(const wire::Buffer& frame) { return ipc::ByteSpan(frame).subspan(wire::kHeaderBytes); }

bool equal(ipc::ByteSpan a, ipc::ByteSpan b) { return ipc::as_text(a) == ipc::as_text(b); }

void hello(ipc::ByteSpan body) {
  const auto first = wire::decode_hello(body);
  if (!first) return;
  check(first->client_name.size() <= 63, "a client's name has at most 63 bytes");
  wire::Buffer frame;
  wire::encode_hello(frame, *first);
  const auto again = wire::decode_hello(body_of(frame));
  check(again && again->version_min == first->version_min && again->version_max == first->version_max &&
            again->features == first->features && again->client_name == first->client_name,
        "a hello survives encoding");
}

void welcome(ipc::ByteSpan body) {
  const auto first = wire::decode_welcome(body);
  if (!first) return;
  wire::Buffer frame;
  wire::encode_welcome(frame, *first);
  const auto again = wire::decode_welcome(body_of(frame));
  check(again && again->version == first->version && again->frame_bytes_max == first->frame_bytes_max &&
            again->payload_bytes_max == first->payload_bytes_max && again->jobs_max == first->jobs_max &&
            again->server_version == first->server_version,
        "a welcome survives encoding");
}

void parts(ipc::ByteSpan body) {
  std::vector<wire::Part> first;
  if (!wire::decode_parts(body, first)) return;
  check(first.size() <= wire::kPartsMax, "the number of parts is bounded");
  for (const wire::Part& part : first) {
    check(part.name.size() <= wire::kPartNameBytesMax, "a part's name has at most 47 bytes");
    check(part.place != wire::Place::kInline ? part.data.empty() : part.data.size() == part.bytes,
          "an inline part has the bytes it says");
  }
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_parts(out, first);
  std::vector<wire::Part> again;
  check(wire::decode_parts(encoded, again).has_value() && again.size() == first.size(), "parts survive encoding");
  for (std::size_t i = 0; i < first.size(); ++i) {
    check(again[i].name == first[i].name && again[i].place == first[i].place && again[i].bytes == first[i].bytes &&
              equal(again[i].data, first[i].data),
          "a part survives encoding");
  }
}

void job_body(ipc::ByteSpan body) {
  const auto first = wire::decode_job_body(body);
  if (!first) return;
  parts(first->parts);
  check(sizeof(std::uint32_t) + first->params_json.size() + first->parts.size() == body.size(),
        "parameters and parts are the whole job body");
}

// A large submit is looked at while it is on its way: each beginning of it says nothing yet, or what the whole
// says. One is looked at here, the same for the same input.
void submit_begun(ipc::ByteSpan body, const Result<wire::Submit>& whole) {
  const std::size_t n = body.size() < 2 ? 0 : (body.size() * 31 + std::to_integer<std::size_t>(body[1])) % body.size();
  const auto begun = wire::decode_submit_head(body.first(n));
  if (!begun) {
    check(!whole && whole.error() == begun.error(), "the beginning is refused as the whole is");
  } else if (*begun && whole) {
    check((*begun)->kind == whole->kind && (*begun)->options.priority == whole->options.priority,
          "the beginning says what the whole says");
    check(n - (*begun)->job_body.size() == body.size() - whole->job_body.size(), "both heads end at the same place");
  } else if (*begun) {
    check(false, "what has a good beginning is good");
  }
}

void submit(ipc::ByteSpan body) {
  const auto first = wire::decode_submit(body);
  submit_begun(body, first);
  if (!first) return;
  job_body(first->job_body);
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_submit_head(out, first->kind, first->options);
  out.bytes(first->job_body);
  const auto again = wire::decode_submit(encoded);
  const auto tied = [](const wire::JobOptions& o) {
    return std::tie(o.priority, o.no_wait, o.want_progress, o.queue_timeout_ms, o.run_timeout_ms, o.deadline_ms,
                    o.attempts, o.output_file, o.shared_buffers);
  };
  check(first->options.shared_buffers.size() <= wire::kSharedBuffersMax, "the number of shared buffers is bounded");
  check(again && again->kind == first->kind && tied(again->options) == tied(first->options) &&
            equal(again->job_body, first->job_body),
        "a submit survives encoding");
}

void result(ipc::ByteSpan body) {
  const auto first = wire::decode_result(body);
  if (!first) return;
  parts(first->parts);
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_result_head(out, first->info);
  out.bytes(first->parts);
  const auto again = wire::decode_result(encoded);
  const auto tied = [](const wire::ResultInfo& i) { return std::tie(i.job_id, i.queue_ns, i.run_ns, i.attempts); };
  check(again && tied(again->info) == tied(first->info) && equal(again->parts, first->parts),
        "a result survives encoding");
}

void error(ipc::ByteSpan body) {
  const auto first = wire::decode_error(body);
  if (!first) return;
  check(!to_string(*first).empty(), "an error has words");
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_error(out, *first);
  check(wire::decode_error(encoded) == first, "an error survives encoding");
}

void progress(ipc::ByteSpan body) {
  const auto first = wire::decode_progress(body);
  if (!first) return;
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_progress(out, *first);
  check(wire::decode_progress(encoded) == first, "progress survives encoding");
}

void buffer_request(ipc::ByteSpan body) {
  const auto first = wire::decode_buffer_request(body);
  if (!first) return;
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_buffer_request(out, *first);
  const auto again = wire::decode_buffer_request(encoded);
  const auto tied = [](const wire::BufferRequest& r) { return std::tie(r.op, r.access, r.gid, r.id, r.name); };
  check(again && tied(*again) == tied(*first), "a buffer request survives encoding");
}

void attached(ipc::ByteSpan body) {
  const auto first = wire::decode_attached(body);
  if (!first) return;
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_attached(out, *first);
  const auto again = wire::decode_attached(encoded);
  check(again && again->id == first->id && again->bytes == first->bytes, "a buffer's answer survives encoding");
}

void admin(ipc::ByteSpan body) {
  const auto first = wire::decode_admin(body);
  if (!first) return;
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_admin(out, *first);
  const auto again = wire::decode_admin(encoded);
  check(again && again->op == first->op && again->value == first->value && again->pool == first->pool,
        "an operator's request survives encoding");
}

void decode(const wire::FrameHeader& header, ipc::ByteSpan body) {
  wire::Buffer encoded;
  ipc::ByteWriter out(encoded);
  wire::encode_header(out, header);
  const wire::FrameHeader again = wire::decode_header(encoded);
  const auto tied = [](const wire::FrameHeader& h) {
    return std::tie(h.body_bytes, h.type, h.flags, h.fd_count, h.request_id);
  };
  check(tied(again) == tied(header), "a header survives encoding");
  switch (header.type) {
    case wire::FrameType::kHello: return hello(body);
    case wire::FrameType::kWelcome: return welcome(body);
    case wire::FrameType::kSubmit: return submit(body);
    case wire::FrameType::kResult: return result(body);
    case wire::FrameType::kError:
    case wire::FrameType::kGoingAway: return error(body);
    case wire::FrameType::kProgress: return progress(body);
    case wire::FrameType::kAdmin: return admin(body);
    case wire::FrameType::kBuffer: return buffer_request(body);
    case wire::FrameType::kAttached: return attached(body);
    default: return;  // bodies that are taken as they stand, and types that nobody knows
  }
}

// The bytes up to the first frame that a session would refuse.
ipc::ByteSpan acceptable(ipc::ByteSpan stream, std::vector<ipc::ByteSpan>& bodies) {
  std::size_t at = 0;
  while (stream.size() - at >= wire::kHeaderBytes) {
    const wire::FrameHeader header = wire::decode_header(stream.subspan(at));
    if (header.body_bytes > kBodyBytesMax || header.fd_count > 0) break;
    const std::size_t end = at + wire::kHeaderBytes + header.body_bytes;
    if (end > stream.size()) break;
    bodies.push_back(stream.subspan(at + wire::kHeaderBytes, header.body_bytes));
    decode(header, bodies.back());
    at = end;
  }
  return stream.first(at);
}

void receive_in_pieces(ipc::ByteSpan stream, std::span<const ipc::ByteSpan> bodies, std::size_t piece_bytes) {
  static client::Incoming incoming;  // reused, like a connection's
  std::array<int, 2> ends{};
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0, "a socket pair");
  const unique_fd ours(ends[0]);
  const unique_fd theirs(ends[1]);
  incoming.clear();
  std::size_t next = 0;
  while (!stream.empty()) {
    const std::size_t n = std::min(piece_bytes, stream.size());
    check(::send(theirs.get(), stream.data(), n, MSG_NOSIGNAL) == static_cast<ssize_t>(n), "a piece is sent");
    stream = stream.subspan(n);
    check(incoming.receive(ours.get()).has_value(), "a piece is received");
    for (;;) {
      auto frame = incoming.next();
      check(frame.has_value(), "an acceptable frame is accepted");
      if (!frame->has_value()) break;
      check(next < bodies.size() && equal((*frame)->body, bodies[next]), "a body arrives as it was sent");
      ++next;
    }
  }
  check(next == bodies.size(), "every frame arrives");
}

}  // namespace
}  // namespace quern::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quern;
  fuzz::Input input(data, size);
  const std::size_t piece_bytes = 1 + std::size_t{input.byte()} * 4;
  std::vector<ipc::ByteSpan> bodies;
  const ipc::ByteSpan stream = fuzz::acceptable(input.rest(), bodies);
  fuzz::receive_in_pieces(stream, bodies, std::max(piece_bytes, stream.size() / 64));
  return 0;
}
