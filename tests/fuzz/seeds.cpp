// Writes the inputs that the corpora grow from, made by the real encoders: CORPUS_DIR/NAME/seed-*.
// Usage: fuzz_seeds CORPUS_DIR. Run it after the wire format changed, then fuzz, then minimise with
// scripts/fuzz --minimise. The configuration's seed is packaging/quern.toml itself.
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/control.h"
#include "ipc/wire.h"
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/image_seeds.h"

namespace {

using namespace quern;
using fuzz::Corpus;
using Bytes = std::vector<std::byte>;

const std::vector<wire::Part>& some_parts() {
  static const std::vector<wire::Part> parts = {
      {.name = "picture", .bytes = 5, .data = ipc::as_bytes("12345")},
      {.name = "", .place = wire::Place::kFd, .bytes = 1U << 20},
      {.name = "empty"},
  };
  return parts;
}

Bytes job_body(std::string_view params) {
  Bytes bytes;
  ipc::ByteWriter out(bytes);
  wire::encode_job_body(out, params, some_parts());
  return bytes;
}

// A stream in pieces of 41 bytes (frames_fuzzer.cpp).
template <class Write>
Bytes frame(wire::FrameType type, Write write) {
  Bytes bytes{std::byte{10}};
  wire::FrameBuilder builder(bytes, type, 7);
  write(builder.body());
  builder.finish();
  return bytes;
}

void frames(const Corpus& corpus) {
  using wire::FrameType;
  Bytes hello{std::byte{1}};
  wire::encode_hello(hello, {.features = wire::kFeatureAcceptsFds, .client_name = "seed"});
  corpus.add("hello", hello);
  Bytes welcome{std::byte{1}};
  wire::encode_welcome(
      welcome, {.frame_bytes_max = 1U << 24, .payload_bytes_max = 1ULL << 31, .jobs_max = 4096, .server_version = "1"});
  corpus.add("welcome", welcome);
  corpus.add("submit", frame(FrameType::kSubmit, [](ipc::ByteWriter& out) {
               wire::encode_submit_head(out, "image.resize",
                                        {.priority = 3,
                                         .no_wait = true,
                                         .want_progress = true,
                                         .queue_timeout_ms = 1,
                                         .run_timeout_ms = 2,
                                         .deadline_ms = 3,
                                         .attempts = 1});
               out.bytes(job_body("{\"width\":1}"));
             }));
  corpus.add("result", frame(FrameType::kResult, [](ipc::ByteWriter& out) {
               wire::encode_result_head(out, {.job_id = 1, .queue_ns = 2, .run_ns = 3});
               wire::encode_parts(out, some_parts());
             }));
  const auto write_error = [](ipc::ByteWriter& out) {
    wire::encode_error(out, {.code = ErrorCode::kWorkerCrashed,
                             .message = "it died",
                             .field = "width",
                             .cause = {CauseKind::kSignaled, 11},
                             .job_id = 9,
                             .retry_after_ms = 5});
  };
  corpus.add("error", frame(FrameType::kError, write_error));
  corpus.add("going-away", frame(FrameType::kGoingAway, write_error));
  corpus.add("progress", frame(FrameType::kProgress, [](ipc::ByteWriter& out) { wire::encode_progress(out, {1, 2}); }));
  corpus.add("admin", frame(FrameType::kAdmin, [](ipc::ByteWriter& out) {
               wire::encode_admin(out, {.op = wire::AdminOp::kResize, .value = 4, .pool = "image"});
             }));
  corpus.add("ping", frame(FrameType::kPing, [](ipc::ByteWriter& out) { out.text("ping"); }));
  Bytes two = frame(FrameType::kPing, [](ipc::ByteWriter& out) { out.text("one"); });
  wire::encode_hello(two, {.client_name = "two"});
  corpus.add("two", two);
}

// {u8 descriptors, u16 bytes, u8 padding, packet} (control_fuzzer.cpp)
void put_packet(Bytes& input, std::uint8_t fds, std::uint8_t padding, ipc::ControlType type, ipc::ByteSpan body) {
  ipc::ByteWriter out(input);
  out.number(fds);
  out.number(static_cast<std::uint16_t>(sizeof(ipc::ControlHeader) + body.size()));
  out.number(padding);
  out.number(static_cast<std::uint32_t>(type));
  out.number(std::int32_t{42});
  out.number(std::uint64_t{3});
  out.bytes(body);
}

void control(const Corpus& corpus) {
  Bytes kind;
  ipc::encode_kind(kind,
                   {.sensitive = true, .name = "hash.argon2id", .description_json = "{\"name\":\"hash.argon2id\"}"});
  corpus.add("kind-alone", kind);
  Bytes packet;
  put_packet(packet, 0, 0, ipc::ControlType::kKind, kind);
  corpus.add("kind", packet);
  put_packet(packet, 0, 0, ipc::ControlType::kReady, {});
  corpus.add("kind-ready", packet);
  for (const int fds : {1, 3, 128, 129, 253}) {
    Bytes with_fds;
    put_packet(with_fds, static_cast<std::uint8_t>(fds), 0, ipc::ControlType::kResultFds, {});
    put_packet(with_fds, 2, 0, ipc::ControlType::kResultFds, {});
    corpus.add("fds-" + std::to_string(fds), with_fds);
  }
  for (const int padding : {1, 63, 64, 65}) {
    Bytes padded;
    put_packet(padded, 1, static_cast<std::uint8_t>(padding), ipc::ControlType::kJobFds, {});
    corpus.add("padding-" + std::to_string(padding), padded);
  }
  corpus.add("empty-packets", Bytes(8));
}

// Steps of completions_fuzzer.cpp.
void completions(const Corpus& corpus) {
  const auto add = [&](std::string_view name, std::vector<int> steps) {
    Bytes bytes;
    for (const int step : steps) bytes.push_back(static_cast<std::byte>(step));
    corpus.add(name, bytes);
  };
  // publish {how}; result part {position, index, flags, bytes u16, offset u16}; error {position, length, text};
  // descriptors {how, count, first}; complete {outcome + 4 * fds, parts, error_bytes u16}; drain
  add("result", {0, 0, 24, 2, 0, 0, 16, 50, 0, 64, 0, 5, 1, 1, 0, 0, 7});
  add("result-of-two", {2, 0, 24, 2, 0, 0, 16, 50, 0, 64, 0, 2, 0, 1, 16, 50, 0, 0, 1, 5, 1, 2, 0, 0, 7});
  add("result-in-descriptors",
      {1, 0, 32, 4, 1, 2, 0, 2, 0, 0, 1, 0, 0, 0, 0, 2, 0, 1, 1, 100, 0, 0, 0, 5, 9, 2, 0, 0, 7});
  add("result-unsealed", {1, 0, 32, 4, 0, 1, 3, 2, 0, 0, 1, 100, 0, 0, 0, 5, 5, 1, 0, 0, 7});
  add("result-past-the-extent", {0, 0, 40, 2, 0, 0, 0, 1, 0, 0, 16, 5, 1, 1, 0, 0, 7});
  add("result-above-the-limit", {0, 0, 16, 2, 0, 0, 0, 200, 0, 0, 0, 2, 0, 1, 0, 1, 0, 0, 0, 5, 1, 2, 0, 0, 7});
  add("result-named-too-long", {0, 0, 24, 2, 0, 0, 192, 50, 0, 64, 0, 5, 1, 1, 0, 0, 7});
  add("result-of-another-size", {1, 0, 32, 4, 0, 1, 1, 2, 0, 0, 1, 99, 0, 0, 0, 5, 5, 1, 0, 0, 7});
  add("result-with-a-descriptor-too-many", {1, 0, 32, 4, 0, 2, 1, 2, 0, 0, 1, 100, 0, 0, 0, 5, 9, 1, 0, 0, 7});
  add("result-of-too-many-parts", {0, 0, 24, 5, 1, 65, 0, 0, 7});
  add("error-past-the-extent", {0, 0, 0, 3, 0, 3, 'a', 'b', 'c', 5, 2, 0, 1, 16, 7});
  add("error", {0, 0, 0, 3, 0, 3, 'a', 'b', 'c', 5, 2, 0, 35, 0, 7});
  add("error-cut-short", {0, 0, 0, 3, 0, 3, 'a', 'b', 'c', 5, 2, 0, 30, 0, 7});
  add("skipped", {0, 0, 7, 5, 0, 0, 0, 0, 7});
  add("skipped-but-wanted", {0, 0, 0, 5, 0, 0, 0, 0, 7});
  add("tail-too-far", {0, 0, 0, 6, 2, 0, 0, 0, 0, 0, 0, 0, 7});
  add("bytes", {0, 0, 0, 1, 0, 128, 0, 1, 1, 1, 2, 8, 0, 1, 1, 7});
  add("four", {2, 0, 24, 0, 24, 0, 24, 0, 24, 5, 1, 1, 0, 0, 5, 1, 0, 0, 0, 5, 1, 3, 0, 0, 5, 1, 0, 0, 0, 7});
}

void job_bodies(const Corpus& corpus) {
  corpus.add("none", job_body(""));
  corpus.add("params",
             job_body(R"({"width":640,"quality":80.0,"sigma":1.5e1,"format":"png","salt":"12345678","strip":false})"));
  corpus.add("json", ipc::as_bytes(R"({"width":640,"note":"\u00e9\n","seed":-9223372036854775808,"gain":-0.5E-3})"));
  corpus.add("lists",
             ipc::as_bytes(R"({"outputs":[{"steps":[{"op":"blur","sigma":2,"kernel":[1,2]},{"op":"flip"}]}]})"));
  corpus.add("twice-within", ipc::as_bytes(R"({"steps":[{"op":"flip"},{"op":"flip","op":"blur"}]})"));
  corpus.add("nested", ipc::as_bytes(R"({"width":[1,{"a":null}],"note":{}})"));
  corpus.add("twice", ipc::as_bytes(R"({"width":1,"width":2})"));
  corpus.add("misspelt", ipc::as_bytes(R"({"widht":1})"));
  corpus.add("scalar", ipc::as_bytes("18446744073709551615"));
  corpus.add("choice", ipc::as_bytes(R"({"format":"gif"})"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIR\n", argv[0]);
    return 2;
  }
  const std::filesystem::path root = argv[1];
  frames(Corpus(root, "frames"));
  control(Corpus(root, "control"));
  completions(Corpus(root, "completions"));
  job_bodies(Corpus(root, "job_body"));
  fuzz::image_seeds(Corpus(root, "image"));
  return 0;
}
