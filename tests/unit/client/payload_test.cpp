// Which way parts travel, and what the client believes of a result's descriptors.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/unit/client/fake_server.h"

namespace quern::client::test {
namespace {

class Payload : public ::testing::Test {
 protected:
  Payload() {
    server_.listen();
    client_.emplace(ClientOptions{.socket_path = server_.path()});
  }

  // Submits parts of these sizes, and looks at how they arrive.
  struct Arrived {
    std::vector<bool> in_fd{};
    std::size_t inline_bytes = 0;
    bool whole = true;
  };
  Arrived arrive(const std::vector<std::size_t>& sizes) {
    Job sent = job();
    for (const std::size_t size : sizes) sent.parts.push_back(Part::copy(std::string(size, 'x'), std::to_string(size)));
    auto pending = client_->submit(std::move(sent));
    if (!peer_) {
      peer_.emplace(server_.accept());
      peer_->greet();
    }
    const auto frame = peer_->receive();
    EXPECT_TRUE(frame);
    std::vector<wire::Part> parts;
    EXPECT_TRUE(wire::decode_parts(wire::decode_job_body(wire::decode_submit(frame->body)->job_body)->parts, parts));
    EXPECT_EQ(parts.size(), sizes.size());
    Arrived arrived;
    std::size_t next_fd = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      arrived.in_fd.push_back(parts[i].place == wire::Place::kFd);
      arrived.inline_bytes += parts[i].data.size();
      const auto size = parts[i].place == wire::Place::kFd ? ipc::sealed_size(frame->fds.at(next_fd++).get())
                                                           : Result<std::uint64_t>(parts[i].data.size());
      arrived.whole = arrived.whole && size && *size == sizes[i] && parts[i].bytes == sizes[i] &&
                      parts[i].name == std::to_string(sizes[i]);
    }
    EXPECT_EQ(next_fd, frame->fds.size());
    peer_->send_result(frame->header.request_id, "");
    (void)pending.get();
    return arrived;
  }

  FakeServer server_;
  std::optional<Client> client_;
  std::optional<Peer> peer_;
};

TEST_F(Payload, SmallPartsTravelInsideTheFrameAndLargeOnesBesideIt) {
  const auto arrived = arrive({0, 1, 30'000, kInlineBytesMax + 1, 3'000'000});
  EXPECT_TRUE(arrived.whole);
  EXPECT_EQ(arrived.in_fd, (std::vector<bool>{false, false, false, true, true}));
}

TEST_F(Payload, ManySmallPartsThatAreLargeTogetherAreMovedBesideTheFrame) {
  const auto arrived = arrive({50'000, 100, 50'000, 50'000});
  EXPECT_TRUE(arrived.whole);
  EXPECT_LE(arrived.inline_bytes, kInlineBytesMax);
  EXPECT_FALSE(arrived.in_fd[1]) << "the smallest stays";
}

TEST_F(Payload, TheLargestPartsGetTheDescriptorsWhenThereAreNotEnough) {
  std::vector<std::size_t> sizes(100, 70'000);
  sizes[99] = 200'000;
  const auto arrived = arrive(sizes);
  EXPECT_TRUE(arrived.whole);
  EXPECT_TRUE(arrived.in_fd[99]);
  EXPECT_EQ(std::ranges::count(arrived.in_fd, true), wire::kFrameFdsMax);
}

TEST_F(Payload, ACallersOwnSealedMemfdIsPassedOnAndAnUnsealedOneRefused) {
  auto memfd = ipc::memfd_from("test", ipc::as_bytes("twelve bytes"));
  ASSERT_TRUE(memfd);
  Job sent = job();
  sent.parts.push_back(Part::sealed(std::move(*memfd)));
  auto unsealed = ipc::create_memfd("test", 100);
  ASSERT_TRUE(unsealed);
  Job bad = job();
  bad.parts.push_back(Part::sealed(std::move(*unsealed)));
  auto refused = client_->submit(std::move(bad));
  auto pending = client_->submit(std::move(sent));
  Peer peer = server_.accept();
  peer.greet();
  EXPECT_EQ(refused.get().error().code, ErrorCode::kInvalidArgument);
  const auto frame = peer.receive();
  ASSERT_EQ(frame->fds.size(), 1U);
  EXPECT_EQ(*ipc::sealed_size(frame->fds[0].get()), 12U);
  peer.send_result(frame->header.request_id, "");
  EXPECT_TRUE(pending.get());
}

TEST_F(Payload, AResultInADescriptorIsMappedAndCanBeHandedOn) {
  auto pending = client_->submit(job());
  Peer peer = server_.accept();
  peer.greet();
  const auto id = peer.expect(wire::FrameType::kSubmit);
  const auto memfd = ipc::memfd_from("test", ipc::as_bytes("a large result"));
  const int fds[] = {memfd->get()};
  const std::vector<wire::Part> parts{{.name = "small", .bytes = 2, .data = ipc::as_bytes("hi")},
                                      {.name = "large", .place = wire::Place::kFd, .bytes = 14}};
  peer.send_result(id, parts, fds);
  auto result = pending.get();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->parts.at(0).text(), "hi");
  EXPECT_FALSE(result->parts[0].fd());
  auto moved = std::move(result->parts.at(1));
  EXPECT_EQ(moved.name(), "large");
  EXPECT_EQ(moved.text(), "a large result");
  EXPECT_EQ(*ipc::sealed_size(moved.fd().get()), 14U);
}

TEST_F(Payload, AResultThatCouldChangeUnderTheReaderIsNotBelieved) {
  auto pending = client_->submit(job());
  Peer peer = server_.accept();
  peer.greet();
  const auto id = peer.expect(wire::FrameType::kSubmit);
  const auto memfd = ipc::create_memfd("test", 14);
  const int fds[] = {memfd->get()};
  const std::vector<wire::Part> parts{{.place = wire::Place::kFd, .bytes = 14}};
  peer.send_result(id, parts, fds);
  EXPECT_EQ(pending.get().error().code, ErrorCode::kProtocolError);
}

TEST_F(Payload, AResultOfAnotherSizeThanAnnouncedIsNotBelieved) {
  auto pending = client_->submit(job());
  Peer peer = server_.accept();
  peer.greet();
  const auto id = peer.expect(wire::FrameType::kSubmit);
  const auto memfd = ipc::memfd_from("test", ipc::as_bytes("short"));
  const int fds[] = {memfd->get()};
  const std::vector<wire::Part> parts{{.place = wire::Place::kFd, .bytes = 14}};
  peer.send_result(id, parts, fds);
  EXPECT_EQ(pending.get().error().code, ErrorCode::kProtocolError);
}

}  // namespace
}  // namespace quern::client::test
