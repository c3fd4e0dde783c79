#include "ipc/wire.h"

#include <limits>

#include "ipc/wire_fields.h"

namespace quern::wire {

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
