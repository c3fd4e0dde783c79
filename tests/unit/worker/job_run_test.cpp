// JobRun in this process: a channel, a control socket and kinds made of lambdas.
#include "worker/job_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "fake_supervisor.h"

namespace quern::worker {
namespace {

using test::Answer;
using test::Call;
using ::testing::HasSubstr;

constexpr ipc::Geometry kOnePage{.slots = 4, .input_extent_bytes = 128U << 10, .output_extent_bytes = 4096};

class Jobs : public ::testing::Test {
 protected:
  sdk::Kind& kind(std::function<void(sdk::Job&)> run, std::vector<sdk::ParamSpec> params = {}) {
    sdk::Kind& added = kinds_.emplace_back();
    added.name = "test.kind";
    added.params = std::move(params);
    added.input = {.parts_min = 0, .parts_max = 3, .help = "parts"};
    added.run = std::move(run);
    pointers_.push_back(&added);
    return added;
  }
  // Runs `call` with the newest kind.
  Answer run(Call call) {
    call.kind = static_cast<std::uint32_t>(pointers_.size() - 1);
    test::publish(channel_.channel, producer_, control_.supervisor.get(), call);
    return run_published();
  }
  Answer run_published() {
    if (!job_) job_.emplace(channel_.channel, control_.child.get(), -1, pointers_);
    const ipc::Completion completion = job_->run(consumer_.claim().value());
    return test::read_answer(channel_.channel, completion, control_.supervisor.get());
  }

  std::deque<sdk::Kind> kinds_;
  std::vector<const sdk::Kind*> pointers_;
  ipc::Channel::Created channel_ = ipc::Channel::create(kOnePage, 1).value();
  ipc::ControlPair control_ = ipc::make_control_pair().value();
  ipc::SubmissionProducer producer_{channel_.channel};
  ipc::SubmissionConsumer consumer_{channel_.channel};
  std::optional<JobRun> job_;
};
using JobRunOutputs = Jobs;
using JobRunInputs = Jobs;
using JobRunErrors = Jobs;
using JobRunSecrets = Jobs;

TEST_F(JobRunOutputs, StayInTheExtentWhileTheyFit) {
  kind([](sdk::Job& job) {
    job.output("one").write(std::string(10, '1'));
    job.output("two").write(std::string(4096 - 64, '2'));
  });
  const Answer answer = run({});
  ASSERT_EQ(answer.parts.size(), 2U);
  EXPECT_FALSE(answer.parts[0].in_fd);
  EXPECT_FALSE(answer.parts[1].in_fd);
  EXPECT_EQ(answer.parts[0].bytes, std::string(10, '1'));
  EXPECT_EQ(answer.parts[1].bytes, std::string(4096 - 64, '2'));
}

TEST_F(JobRunOutputs, MoveToADescriptorWhenTheyGrowOutOfIt) {
  kind([](sdk::Job& job) {
    job.output("first").write("first");
    sdk::Output& grows = job.output("grows");
    for (int i = 0; i < 3'000'000; i += 1'000) grows.write(std::string(1'000, 'g'));
    job.output("last").write("last");
  });
  const Answer answer = run({});
  ASSERT_EQ(answer.parts.size(), 3U);
  EXPECT_EQ(answer.parts[0].bytes, "first");
  EXPECT_TRUE(answer.parts[1].in_fd);
  EXPECT_EQ(answer.parts[1].bytes, std::string(3'000'000, 'g'));
  EXPECT_FALSE(answer.parts[2].in_fd) << "the extent is free again behind the first part";
  EXPECT_EQ(answer.parts[2].bytes, "last");
}

TEST_F(JobRunOutputs, MayBePreparedLargerThanTheyBecome) {
  kind([](sdk::Job& job) {
    sdk::Output& output = job.output();
    std::ranges::fill(output.prepare(2'000'000).first(3), std::byte{'x'});
    output.commit(3);
  });
  const Answer answer = run({});
  EXPECT_EQ(answer.parts.at(0).bytes, "xxx");
}

TEST_F(JobRunOutputs, AnOlderPartNeverWritesIntoANewerOne) {
  kind([](sdk::Job& job) {
    sdk::Output& older = job.output("older");
    older.write("old");
    job.output("newer").write(std::string(200, 'n'));
    older.write(std::string(200, 'o'));
  });
  const Answer answer = run({});
  EXPECT_EQ(answer.parts.at(0).bytes, "old" + std::string(200, 'o'));
  EXPECT_EQ(answer.parts.at(1).bytes, std::string(200, 'n'));
}

TEST_F(JobRunOutputs, MayBeSixtyFourDescriptors) {
  kind([](sdk::Job& job) {
    for (int i = 0; i < 64; ++i) job.output(std::to_string(i)).write(std::string(5'000, 'x'));
  });
  const Answer answer = run({});
  ASSERT_EQ(answer.parts.size(), 64U);
  EXPECT_TRUE(answer.parts[63].in_fd);
  EXPECT_EQ(answer.parts[63].name, "63");
}

TEST_F(JobRunOutputs, AreBoundedInBytesAndInNumber) {
  kind([](sdk::Job& job) {
    job.output().write(std::string(600, 'x'));
    job.output().write(std::string(600, 'x'));
  });
  EXPECT_EQ(run({.result_bytes_max = 1'200}).outcome, ipc::Outcome::kResult);
  const Answer too_large = run({.result_bytes_max = 1'199});
  EXPECT_EQ(too_large.error.value().code, ErrorCode::kTooLarge);
  EXPECT_THAT(too_large.error->message, HasSubstr("result_bytes_max"));
  kind([](sdk::Job& job) {
    for (int i = 0; i < 65; ++i) (void)job.output();
  });
  job_.reset();
  EXPECT_THAT(run({}).error.value().message, HasSubstr("at most 64 parts"));
}

TEST_F(JobRunOutputs, OfAFailedJobAreForgotten) {
  kind([](sdk::Job& job) {
    job.output().write(std::string(10'000, 'x'));
    throw sdk::JobError(sdk::JobErrorCode::kBadInput, "on second thoughts");
  });
  const Answer answer = run({.job_id = 77});
  EXPECT_EQ(answer.error.value().message, "on second thoughts");
  EXPECT_EQ(answer.error->job_id, 77U);
  EXPECT_TRUE(answer.parts.empty());
}

TEST_F(JobRunInputs, ReachTheModuleWithTheirParameters) {
  kind(
      [](sdk::Job& job) {
        job.output().write(std::to_string(job.integer("n")) + std::to_string(job.attempt()) +
                           std::string(job.inputs()[1].name));
      },
      {{.name = "n", .type = sdk::ParamType::kInteger, .help = "", .fallback = 5}});
  const Call call{.parts = {{.name = "a"}, {.name = "b"}}, .attempt = 2};
  EXPECT_EQ(run(call).parts.at(0).bytes, "52b");
  Call with_n = call;
  with_n.params = R"({"n":7})";
  EXPECT_EQ(run(with_n).parts.at(0).bytes, "72b");
}

TEST_F(JobRunInputs, MustBeAsManyAsTheKindTakes) {
  kind([](sdk::Job&) {}).input = {.parts_min = 1, .parts_max = 1, .help = "a picture"};
  const Answer answer = run({});
  EXPECT_EQ(answer.error.value().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(answer.error->message, HasSubstr("takes 1 input parts (a picture), not 0"));
}

TEST_F(JobRunInputs, MustMatchTheirDescriptors) {
  kind([](sdk::Job&) {});
  const unique_fd sealed = ipc::memfd_from("x", ipc::as_bytes("abc")).value();
  const unique_fd unsealed = ipc::create_memfd("x", 3).value();
  const wire::Part part{.place = wire::Place::kFd, .bytes = 3};
  EXPECT_EQ(run({.parts = {part}, .fds = {sealed.get()}}).outcome, ipc::Outcome::kResult);
  const auto refused = [&](const Call& call) { return run(call).error.value().code == ErrorCode::kInvalidArgument; };
  EXPECT_TRUE(refused({.parts = {part, part}, .fds = {sealed.get()}})) << "fewer descriptors than parts";
  EXPECT_TRUE(refused({.parts = {part}})) << "none at all";
  EXPECT_TRUE(refused({.parts = {part}, .fds = {sealed.get(), sealed.get()}})) << "more";
  EXPECT_TRUE(refused({.parts = {{.place = wire::Place::kFd, .bytes = 4}}, .fds = {sealed.get()}})) << "another size";
  EXPECT_TRUE(refused({.parts = {part}, .fds = {unsealed.get()}})) << "contents that can change";
  EXPECT_EQ(run({.parts = {part}, .fds = {sealed.get()}}).outcome, ipc::Outcome::kResult) << "and nothing is left over";
}

TEST_F(JobRunErrors, NameTheWrongParameter) {
  kind([](sdk::Job&) {},
       {{.name = "width", .type = sdk::ParamType::kInteger, .help = "", .required = true, .min = 1, .max = 9}});
  const Answer out_of_range = run({.params = R"({"width":10})"});
  EXPECT_EQ(out_of_range.error.value().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(out_of_range.error->field, "width");
  EXPECT_EQ(run({.params = R"({"widht":1})"}).error.value().field, "widht");
  EXPECT_EQ(run({.params = "{}"}).error.value().field, "width");
  EXPECT_EQ(run({.params = "not json"}).error.value().field, "params");
}

TEST_F(JobRunErrors, OfMalformedBodiesAreAnswers) {
  kind([](sdk::Job&) {});
  for (const std::size_t bytes : {0U, 3U, 4U, 5U, 100U}) {
    std::memset(channel_.channel.input(producer_.next()).data(), 0x7f, bytes);
    producer_.publish({.kind = 0, .body_bytes = static_cast<std::uint32_t>(bytes)});
    EXPECT_EQ(run_published().error.value().code, ErrorCode::kProtocolError) << bytes << " bytes";
  }
  producer_.publish({.kind = 0, .body_bytes = kOnePage.input_extent_bytes + 1});
  EXPECT_EQ(run_published().error.value().code, ErrorCode::kInternal);
  producer_.publish({.kind = 99});
  EXPECT_EQ(run_published().error.value().code, ErrorCode::kInternal);
  EXPECT_EQ(run({}).outcome, ipc::Outcome::kResult) << "and the worker goes on";
}

TEST_F(JobRunErrors, MeasureOnlyTheModule) {
  kind([](sdk::Job&) { throw 1; });
  EXPECT_LT(run({}).run_ns, 1'000'000'000U);
  EXPECT_EQ(run({.params = "not json"}).run_ns, 0U) << "it never ran";
}

TEST_F(JobRunSecrets, AreGoneWhenTheJobIs) {
  const std::string secret = "correct horse battery staple";
  const auto has_secret = [&](std::span<const std::byte> memory) {
    return ipc::as_text(memory).find(secret) != std::string_view::npos;
  };
  const std::vector<sdk::ParamSpec> pepper{{.name = "pepper", .type = sdk::ParamType::kString, .help = ""}};
  kind([](sdk::Job&) {}, pepper).sensitive = true;
  const Call call{.params = "{\"pepper\":\"" + secret + "\"}",
                  .parts = {{.bytes = secret.size(), .data = ipc::as_bytes(secret)}}};
  EXPECT_EQ(run(call).outcome, ipc::Outcome::kResult);
  EXPECT_FALSE(has_secret(channel_.channel.input(0)));
  EXPECT_FALSE(has_secret(std::as_bytes(std::span(&*job_, 1)))) << "the parameters' scratch";
  Call wrong = call;
  wrong.params = "{\"salt\":\"" + secret + "\"}";
  EXPECT_EQ(run(wrong).outcome, ipc::Outcome::kError);
  EXPECT_FALSE(has_secret(channel_.channel.input(1)));
  EXPECT_FALSE(has_secret(std::as_bytes(std::span(&*job_, 1))));
}

}  // namespace
}  // namespace quern::worker
