#include "ipc/wire.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <sstream>

namespace quern::wire {
namespace {

ByteSpan body_of(const Buffer& frame) { return ByteSpan(frame).subspan(kHeaderBytes); }

// Decodes every proper prefix from memory of exactly that size, so that a read past the end is the
// sanitizer's catch; none may be accepted.
template <class Decode>
void expect_no_prefix_accepted(ByteSpan whole, Decode decode) {
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto exact = std::make_unique<std::byte[]>(n);
    std::copy_n(whole.begin(), n, exact.get());
    EXPECT_FALSE(decode(ByteSpan(exact.get(), n))) << "a prefix of " << n << " bytes";
  }
}

TEST(Wire, HeaderIsSixteenBytesLittleEndian) {
  Buffer out;
  ByteWriter writer(out);
  encode_header(writer, {.body_bytes = 0x01020304,
                         .type = FrameType::kSubmit,
                         .flags = 0,
                         .fd_count = 0x0506,
                         .request_id = 0x1122334455667788});
  const unsigned char expected[] = {4, 3, 2, 1, 3, 0, 6, 5, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
  ASSERT_EQ(out.size(), kHeaderBytes);
  EXPECT_EQ(std::memcmp(out.data(), expected, sizeof expected), 0);
  EXPECT_EQ(decode_header(out).request_id, 0x1122334455667788U);
}

TEST(Wire, HelloAndWelcomeSurviveTheRoundTrip) {
  Buffer out;
  encode_hello(out, {.features = kFeatureAcceptsFds, .client_name = "test"});
  const auto hello = decode_hello(body_of(out));
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->client_name, "test");
  EXPECT_EQ(hello->features, kFeatureAcceptsFds);
  out.clear();
  encode_welcome(out, {.frame_bytes_max = 5, .payload_bytes_max = 6, .jobs_max = 7, .server_version = "1"});
  const auto welcome = decode_welcome(body_of(out));
  ASSERT_TRUE(welcome);
  EXPECT_EQ(welcome->payload_bytes_max, 6U);
  EXPECT_EQ(welcome->server_version, "1");
}

Buffer submit_frame() {
  Buffer out;
  FrameBuilder frame(out, FrameType::kSubmit, 9);
  encode_submit_head(frame.body(), "debug.echo",
                     {.priority = 7,
                      .no_wait = true,
                      .want_progress = true,
                      .queue_timeout_ms = 1,
                      .run_timeout_ms = 2,
                      .deadline_ms = 3,
                      .attempts = 4,
                      .output_file = true,
                      .shared_buffers = {7, 1ULL << 47}});
  const std::vector<Part> parts{{.name = "a", .bytes = 5, .data = ipc::as_bytes("hello")},
                                {.name = "b", .place = wire::Place::kFd, .bytes = 1ULL << 40},
                                {.bytes = 0}};
  encode_job_body(frame.body(), "{\"x\":1}", parts);
  frame.finish();
  return out;
}

TEST(Wire, TheHeadOfASubmitIsDecodedAsSoonAsItIsThere) {
  Buffer frame;
  FrameBuilder builder(frame, FrameType::kSubmit, 1);
  encode_submit_head(builder.body(), "debug.echo", {.priority = 7, .run_timeout_ms = 9});
  const std::size_t head_bytes = frame.size() - kHeaderBytes;
  encode_job_body(builder.body(), "{}", {});
  const auto body = ByteSpan(frame).subspan(kHeaderBytes);
  for (std::size_t n = 0; n <= body.size(); ++n) {
    const auto begun = decode_submit_head(body.first(n));
    ASSERT_TRUE(begun);
    ASSERT_EQ(begun->has_value(), n >= head_bytes) << n;
    if (n < head_bytes) continue;
    EXPECT_EQ((*begun)->kind, "debug.echo");
    EXPECT_EQ((*begun)->options.run_timeout_ms, 9U);
    EXPECT_EQ((*begun)->job_body.size(), n - head_bytes);
  }
}

TEST(Wire, TheHeadOfASubmitIsBounded) {
  Buffer body;
  ByteWriter out(body);
  out.number(std::uint32_t{0x0501});
  out.number(kSubmitOptionsBytesMax + 1);
  const auto begun = decode_submit_head(body);
  ASSERT_FALSE(begun) << "refused before it is here";
  EXPECT_EQ(begun.error().code, ErrorCode::kProtocolError);
}

TEST(Wire, SubmitCarriesKindOptionsAndParts) {
  const Buffer out = submit_frame();
  const auto submit = decode_submit(body_of(out));
  ASSERT_TRUE(submit);
  EXPECT_EQ(submit->kind, "debug.echo");
  EXPECT_EQ(submit->options.priority, 7);
  EXPECT_TRUE(submit->options.no_wait);
  EXPECT_TRUE(submit->options.want_progress);
  EXPECT_EQ(submit->options.queue_timeout_ms, 1U);
  EXPECT_EQ(submit->options.run_timeout_ms, 2U);
  EXPECT_EQ(submit->options.deadline_ms, 3U);
  EXPECT_EQ(submit->options.attempts, 4U);
  EXPECT_TRUE(submit->options.output_file);
  EXPECT_EQ(submit->options.shared_buffers, (std::vector<std::uint64_t>{7, 1ULL << 47}));
  const auto body = decode_job_body(submit->job_body);
  ASSERT_TRUE(body);
  EXPECT_EQ(body->params_json, "{\"x\":1}");
  std::vector<Part> parts;
  ASSERT_TRUE(decode_parts(body->parts, parts));
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(ipc::as_text(parts[0].data), "hello");
  EXPECT_EQ(parts[1].place, wire::Place::kFd);
  EXPECT_EQ(parts[1].bytes, 1ULL << 40);
}

TEST(Wire, ProgressHasAMessageThatMayBeMissing) {
  const Progress progress{.done = 3, .total = 9, .message = "page 3"};
  Buffer body;
  ByteWriter out(body);
  encode_progress(out, progress);
  EXPECT_EQ(decode_progress(body).value(), progress);
  for (std::size_t bytes = 0; bytes < body.size(); ++bytes) {
    EXPECT_EQ(decode_progress(ByteSpan(body).first(bytes)).has_value(), bytes == 16) << bytes;
  }
  EXPECT_EQ(decode_progress(ByteSpan(body).first(16)).value(), (Progress{.done = 3, .total = 9}));
  Buffer long_body;
  ByteWriter long_out(long_body);
  encode_progress(long_out, {.message = std::string(kProgressMessageBytesMax + 1, 'x')});
  EXPECT_FALSE(decode_progress(long_body));
}

TEST(Wire, EveryTruncationIsRefused) {
  const Buffer out = submit_frame();
  std::vector<Part> parts;
  expect_no_prefix_accepted(body_of(out), [&](ByteSpan bytes) {
    const auto submit = decode_submit(bytes);
    if (!submit) return false;
    const auto body = decode_job_body(submit->job_body);
    return body.has_value() && decode_parts(body->parts, parts).has_value();
  });
  Buffer hello;
  encode_hello(hello, {.client_name = "x"});
  const auto body = body_of(hello);
  // without its optional field a hello is whole
  expect_no_prefix_accepted(body.first(12), [](ByteSpan bytes) { return decode_hello(bytes).has_value(); });
  Buffer error;
  ByteWriter writer(error);
  encode_error(writer, {.code = ErrorCode::kBusy, .message = "full", .field = "f"});
  expect_no_prefix_accepted(error, [](ByteSpan bytes) { return decode_error(bytes).has_value(); });
}

TEST(Wire, PartsMustFillTheirFrameExactly) {
  Buffer out;
  ByteWriter writer(out);
  const std::vector<Part> one{{.bytes = 2, .data = ipc::as_bytes("ab")}};
  encode_parts(writer, one);
  std::vector<Part> parts;
  EXPECT_TRUE(decode_parts(out, parts));
  out.push_back(std::byte{0});
  EXPECT_FALSE(decode_parts(out, parts)) << "a byte too many";
}

TEST(Wire, APartCanNotClaimMoreBytesThanThereAre) {
  Buffer out;
  ByteWriter writer(out);
  writer.number(std::uint16_t{1});
  writer.number(std::uint16_t{0});
  writer.number(std::uint8_t{0});
  writer.number(std::uint8_t{0});
  writer.number(std::uint16_t{0});
  writer.number(~std::uint64_t{0});
  std::vector<Part> parts;
  EXPECT_FALSE(decode_parts(out, parts));
}

Buffer submit_with_tag(std::uint16_t tag) {
  Buffer out;
  ByteWriter writer(out);
  writer.number(std::uint8_t{1});
  writer.number(std::uint8_t{5});
  writer.number(std::uint16_t{0});
  writer.number(std::uint32_t{9});
  writer.text("k");
  writer.number(tag);
  writer.number(std::uint32_t{3});
  writer.text("???");
  encode_job_body(writer, "", {});
  return out;
}

TEST(Wire, UnknownOptionsAreSkippedAndCriticalOnesRefused) {
  EXPECT_TRUE(decode_submit(submit_with_tag(0x7000)));
  const auto refused = decode_submit(submit_with_tag(0xf000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument) << "a refusal, not a broken connection";
}

TEST(Wire, SharedBuffersAreNamedOnceAndInBounds) {
  const auto refused = [](std::size_t count, int times) {
    Buffer options;
    ByteWriter out(options);
    for (int i = 0; i < times; ++i) {
      out.number(std::uint16_t{0x800c});
      out.number(static_cast<std::uint32_t>(count * 8));
      for (std::size_t id = 0; id < count; ++id) out.number(std::uint64_t{id});
    }
    Buffer submit;
    ByteWriter body(submit);
    body.text(std::string_view("\1\5\0\0", 4));
    body.number(static_cast<std::uint32_t>(options.size()));
    body.text("k");
    body.bytes(options);
    return !decode_submit(submit);
  };
  EXPECT_FALSE(refused(1, 1));
  EXPECT_FALSE(refused(kSharedBuffersMax, 1));
  EXPECT_TRUE(refused(kSharedBuffersMax + 1, 1));
  EXPECT_TRUE(refused(0, 1));
  EXPECT_TRUE(refused(1, 2));
}

TEST(Wire, BufferRequestsSurviveTheRoundTrip) {
  Buffer request;
  ByteWriter out(request);
  encode_buffer_request(out, {.op = BufferOp::kCreate, .access = BufferAccess::kGroup, .gid = 7, .id = 8, .name = "n"});
  const auto decoded = decode_buffer_request(request);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->op, BufferOp::kCreate);
  EXPECT_EQ(decoded->access, BufferAccess::kGroup);
  EXPECT_EQ(decoded->gid, 7U);
  EXPECT_EQ(decoded->id, 8U);
  EXPECT_EQ(decoded->name, "n");
  expect_no_prefix_accepted(request, [](ByteSpan bytes) { return decode_buffer_request(bytes).has_value(); });
  request[0] = std::byte{9};
  EXPECT_FALSE(decode_buffer_request(request)) << "no such operation";
  Buffer answer;
  ByteWriter body(answer);
  encode_attached(body, {.id = 1, .bytes = 2});
  EXPECT_EQ(decode_attached(answer)->id, 1U);
  EXPECT_EQ(decode_attached(answer)->bytes, 2U);
  expect_no_prefix_accepted(answer, [](ByteSpan bytes) { return decode_attached(bytes).has_value(); });
}

TEST(Wire, ErrorsSurviveTheRoundTrip) {
  const Error error{.code = ErrorCode::kWorkerCrashed,
                    .message = "m",
                    .field = "f",
                    .cause = {CauseKind::kSignaled, 11},
                    .job_id = 5,
                    .retry_after_ms = 6};
  Buffer out;
  ByteWriter writer(out);
  encode_error(writer, error);
  EXPECT_EQ(decode_error(out), error);
}

TEST(Wire, AnErrorsFieldIsAsLongAsItMayBeSentOn) {
  Buffer out;
  ByteWriter writer(out);
  encode_error(writer, {.code = ErrorCode::kInvalidArgument, .message = "m", .field = std::string(300, 'f')});
  const auto error = decode_error(out);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->field.size(), kFieldBytesMax);
  constexpr std::size_t kFieldBytesAt = 20;
  constexpr std::size_t kMessageBytesAt = 24;
  writer.patch(kFieldBytesAt, std::uint16_t{256});
  writer.patch(kMessageBytesAt, std::uint32_t{0});
  EXPECT_FALSE(decode_error(out));
}

// docs/protocol.md shows this exchange; the document can't say anything else than the code does.
TEST(Wire, TheProtocolsDocumentShowsRealBytes) {
  std::ifstream file(QUERN_SOURCE_DIR "/docs/protocol.md");
  std::stringstream text;
  text << file.rdbuf();
  const auto dump = [](const Buffer& frame) {
    std::string lines;
    for (std::size_t at = 0; at < frame.size(); at += 16) {
      lines += fmt::format("{:04x} ", at);
      for (std::size_t i = at; i < std::min(at + 16, frame.size()); ++i)
        lines += fmt::format(" {:02x}", static_cast<unsigned>(frame[i]));
      lines += '\n';
    }
    return lines;
  };
  Buffer hello;
  encode_hello(hello, {.features = 0, .client_name = "doc"});
  Buffer welcome;
  encode_welcome(
      welcome,
      {.frame_bytes_max = 3U << 30, .payload_bytes_max = 3ULL << 30, .jobs_max = 4096, .server_version = "0.1.0"});
  Buffer submit;
  FrameBuilder submit_frame(submit, FrameType::kSubmit, 1);
  encode_submit_head(submit_frame.body(), "debug.echo", {.run_timeout_ms = 1000});
  const std::vector<Part> hi{{.bytes = 2, .data = ipc::as_bytes("hi")}};
  encode_job_body(submit_frame.body(), "{}", hi);
  submit_frame.finish();
  Buffer result;
  FrameBuilder result_frame(result, FrameType::kResult, 1);
  encode_result_head(result_frame.body(), {.job_id = 1, .queue_ns = 20'000, .run_ns = 500, .attempts = 1});
  encode_parts(result_frame.body(), hi);
  result_frame.finish();
  for (const Buffer* frame : {&hello, &welcome, &submit, &result}) {
    EXPECT_NE(text.str().find(dump(*frame)), std::string::npos) << "docs/protocol.md lacks:\n" << dump(*frame);
  }
}

}  // namespace
}  // namespace quern::wire
