// Jobs on a connection: cancelling, time limits, progress, the server's limits, coroutines.
#include <gmock/gmock.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <set>
#include <thread>

#include "tests/unit/client/fake_server.h"

namespace quern::client::test {
namespace {

namespace asio = boost::asio;

class Jobs : public ::testing::Test {
 protected:
  Jobs()
      : client_([this] {
          server_.listen();
          return ClientOptions{.socket_path = server_.path()};
        }()) {}

  Peer accept(std::uint32_t jobs_max = 4096, std::uint32_t frame_bytes_max = 16U << 20) {
    Peer peer = server_.accept();
    peer.greet({.frame_bytes_max = frame_bytes_max, .payload_bytes_max = 1U << 30, .jobs_max = jobs_max});
    return peer;
  }
  void answer_cancelled(Peer& peer, std::uint64_t id) {
    peer.send_error(wire::FrameType::kError, id, {.code = ErrorCode::kCancelled, .message = "stopped"});
  }

  FakeServer server_;
  Client client_;
};

TEST_F(Jobs, AreCancelledByNameAndStillAnswered) {
  auto pending = client_.submit(job());
  Peer peer = accept();
  const auto id = peer.expect(wire::FrameType::kSubmit);
  pending.cancel();
  EXPECT_EQ(peer.expect(wire::FrameType::kCancel), id);
  answer_cancelled(peer, id);
  EXPECT_EQ(pending.get().error().message, "stopped");
  pending = client_.submit(job());
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "won the race");
  EXPECT_TRUE(pending.get());
  client_.cancel(id);  // long answered: nothing is sent
  EXPECT_FALSE(peer.has_more(30ms));
}

TEST_F(Jobs, ThatWereNotSentAreCancelledWithoutAskingAnyone) {
  auto pending = client_.submit(job());
  pending.cancel();  // no welcome yet
  EXPECT_EQ(pending.get().error().code, ErrorCode::kCancelled);
}

TEST_F(Jobs, PastTheirTimeLimitAreAnsweredAtOnceAndTheServerIsToldToStop) {
  Peer peer = connected(client_, server_);
  Job limited = job();
  limited.timeout = 20ms;
  auto pending = client_.submit(std::move(limited));
  const auto id = peer.expect(wire::FrameType::kSubmit);
  EXPECT_EQ(pending.get().error().code, ErrorCode::kTimeout);
  EXPECT_EQ(peer.expect(wire::FrameType::kCancel), id);
  answer_cancelled(peer, id);  // too late for the caller, and no harm
  auto next = client_.submit(job());
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "fine");
  EXPECT_TRUE(next.get());
}

TEST_F(Jobs, KeepTheirTimeLimitWithoutAServer) {
  Client patient({.socket_path = server_.path() + ".nothing", .reconnect_for = 20s});
  Job limited = job();
  limited.timeout = 20ms;
  EXPECT_EQ(patient.run(std::move(limited)).error().code, ErrorCode::kTimeout);
}

TEST_F(Jobs, NeverExceedTheNumberThatTheServerTakes) {
  std::vector<PendingJob> pending;
  for (int i = 0; i < 5; ++i) pending.push_back(client_.submit(job()));
  Peer peer = accept(2);
  const auto first = peer.expect(wire::FrameType::kSubmit);
  const auto second = peer.expect(wire::FrameType::kSubmit);
  EXPECT_FALSE(peer.has_more(30ms));
  pending[4].cancel();  // it waits here, and nobody hears of it
  EXPECT_EQ(pending[4].get().error().code, ErrorCode::kCancelled);
  pending[1].cancel();  // a cancel is never stuck behind jobs
  EXPECT_EQ(peer.expect(wire::FrameType::kCancel), second);
  peer.send_result(first, "");
  const auto third = peer.expect(wire::FrameType::kSubmit);
  EXPECT_FALSE(peer.has_more(30ms));
  answer_cancelled(peer, second);
  const auto fourth = peer.expect(wire::FrameType::kSubmit);
  peer.send_result(third, "");
  peer.send_result(fourth, "");
  EXPECT_TRUE(pending[0].get());
  EXPECT_FALSE(pending[1].get());
  EXPECT_TRUE(pending[2].get());
  EXPECT_TRUE(pending[3].get());
}

TEST_F(Jobs, ReportProgressWhenAsked) {
  std::vector<wire::Progress> seen;
  Job watched = job();
  watched.on_progress = [&](const wire::Progress& progress) { seen.push_back(progress); };
  auto pending = client_.submit(std::move(watched));
  Peer peer = accept();
  const auto frame = peer.receive();
  ASSERT_TRUE(frame);
  EXPECT_TRUE(wire::decode_submit(frame->body)->options.want_progress);
  wire::Buffer out;
  const std::vector<wire::Progress> sent{{.done = 1, .total = 2}, {.done = 2, .total = 2, .message = "last page"}};
  for (const wire::Progress& each : sent) {
    wire::FrameBuilder progress(out, wire::FrameType::kProgress, frame->header.request_id);
    wire::encode_progress(progress.body(), each);
    progress.finish();
  }
  peer.send(out);
  peer.send_result(frame->header.request_id, "");
  EXPECT_TRUE(pending.get());
  EXPECT_EQ(seen, sent);
}

TEST_F(Jobs, CarryTheirOptions) {
  Job careful = job();
  careful.options = {.priority = 9, .no_wait = true, .run_timeout_ms = 5, .attempts = 1};
  auto pending = client_.submit(std::move(careful));
  Peer peer = accept();
  const auto frame = peer.receive();
  const auto submit = wire::decode_submit(frame->body);
  ASSERT_TRUE(submit);
  EXPECT_EQ(submit->options.priority, 9);
  EXPECT_TRUE(submit->options.no_wait);
  EXPECT_EQ(submit->options.run_timeout_ms, 5U);
  EXPECT_EQ(submit->options.attempts, 1U);
  EXPECT_FALSE(submit->options.deadline_ms);
}

TEST_F(Jobs, ThatFitNoFrameAreRefusedHereAndHurtNoOther) {
  auto good = client_.submit(job("small"));
  Job large = job();
  large.params_json = std::string(100'000, ' ');
  auto refused = client_.submit(std::move(large));
  Peer peer = accept(4096, 64U << 10);
  EXPECT_EQ(refused.get().error().code, ErrorCode::kTooLarge);
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "");
  EXPECT_TRUE(good.get());
}

TEST_F(Jobs, WithoutAKindOrWithTooManyPartsAreRefusedHere) {
  std::vector<PendingJob> refused;
  refused.push_back(client_.submit(Job{}));
  refused.push_back(client_.submit(Job{.kind = std::string(64, 'k')}));
  refused.push_back(client_.submit(Job{.kind = "k", .parts = std::vector<Part>(1025, Part::copy(""))}));
  refused.push_back(client_.submit(Job{.kind = "k", .parts = {Part::copy("", std::string(48, 'n'))}}));
  Peer peer = accept();
  for (auto& each : refused) EXPECT_EQ(each.get().error().code, ErrorCode::kInvalidArgument);
}

TEST_F(Jobs, FromManyThreadsAreEachAnsweredOnceWithTheirOwn) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  std::jthread answering([&] {
    Peer peer = accept(64);
    for (int i = 0; i < kThreads * kEach; ++i) {
      const auto frame = peer.receive();
      const auto submit = wire::decode_submit(frame->body);
      const auto body = wire::decode_job_body(submit->job_body);
      std::vector<wire::Part> parts;
      ASSERT_TRUE(wire::decode_parts(body->parts, parts));
      peer.send_result(frame->header.request_id, ipc::as_text(parts.at(0).data));
    }
  });
  std::atomic<int> right{0};
  std::atomic<int> answered{0};
  std::vector<std::jthread> callers;
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string own = std::to_string(t * kEach + i);
        client_.submit(job(own), [&, own](Result<JobResult> result) {
          if (result && result->parts.at(0).text() == own) ++right;
          if (++answered == kThreads * kEach) answered.notify_all();
        });
      }
    });
  }
  callers.clear();
  for (int n = answered; n < kThreads * kEach; n = answered) answered.wait(n);
  EXPECT_EQ(right, kThreads * kEach);
}

TEST_F(Jobs, AreSubmittedFromHandlersWithoutEnd) {
  constexpr int kChain = 500;
  std::promise<void> done;
  std::function<void(int)> next = [&](int left) {
    if (left == 0) return done.set_value();
    client_.submit(job(), [&, left](Result<JobResult> result) {
      EXPECT_TRUE(result);
      next(left - 1);
    });
  };
  next(kChain);
  Peer peer = accept();
  for (int i = 0; i < kChain; ++i) peer.send_result(peer.expect(wire::FrameType::kSubmit), "");
  done.get_future().get();
}

TEST_F(Jobs, AreNotWaitedForOnTheClientsOwnThread) {
  std::promise<bool> threw;
  client_.submit(job(), [&](Result<JobResult>) {
    try {
      (void)client_.run(job());
      threw.set_value(false);
    } catch (const std::logic_error&) {
      threw.set_value(true);
    }
  });
  Peer peer = accept();
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "");
  EXPECT_TRUE(threw.get_future().get());
}

// ---- Asio --------------------------------------------------------------------------------------------

TEST_F(Jobs, AreAwaitedByCoroutines) {
  asio::io_context io;
  auto text = asio::co_spawn(
      io,
      [&]() -> asio::awaitable<std::string> {
        const auto result = co_await client_.async_run(job("grain"), asio::use_awaitable);
        co_return std::string(result->parts.at(0).text());
      },
      asio::use_future);
  std::jthread runner([&] { io.run(); });
  Peer peer = accept();
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "flour");
  EXPECT_EQ(text.get(), "flour");
}

TEST_F(Jobs, KeepTheirExecutorAtWorkUntilTheyAreDone) {
  asio::io_context io;
  bool completed = false;
  client_.async_run(
      job(), asio::bind_executor(io.get_executor(), [&](Result<JobResult> result) { completed = result.has_value(); }));
  std::jthread answering([&] {
    Peer peer = accept();
    peer.send_result(peer.expect(wire::FrameType::kSubmit), "");
  });
  io.run();  // returns when the job is done, not before
  EXPECT_TRUE(completed);
}

TEST_F(Jobs, EndWithTheOperationThatAwaitsThem) {
  using namespace asio::experimental::awaitable_operators;
  Peer peer = connected(client_, server_);  // what is cancelled before that is not sent
  asio::io_context io;
  auto first = asio::co_spawn(
      io,
      [&]() -> asio::awaitable<std::size_t> {
        asio::steady_timer timer(co_await asio::this_coro::executor, 20ms);
        const auto done =
            co_await (client_.async_run(job(), asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
        co_return done.index();
      },
      asio::use_future);
  std::jthread runner([&] { io.run(); });
  const auto id = peer.expect(wire::FrameType::kSubmit);
  EXPECT_EQ(peer.expect(wire::FrameType::kCancel), id) << "the timer won";
  answer_cancelled(peer, id);
  EXPECT_EQ(first.get(), 1U);
}

TEST_F(Jobs, LeaveTheirCancellationSlotWhenTheyAreDone) {
  asio::io_context io;
  asio::cancellation_signal signal;
  bool completed = false;
  client_.async_run(
      job(), asio::bind_cancellation_slot(
                 signal.slot(), asio::bind_executor(io.get_executor(), [&](Result<JobResult>) { completed = true; })));
  Peer peer = accept();
  peer.send_result(peer.expect(wire::FrameType::kSubmit), "");
  io.run();
  EXPECT_TRUE(completed);
  EXPECT_FALSE(signal.slot().has_handler());
}

}  // namespace
}  // namespace quern::client::test
