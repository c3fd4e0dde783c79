#include "supervisor/quarantine.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "ipc/memfd.h"

namespace quern::supervisor {
namespace {

struct QuarantineTest : ::testing::Test {
  // A job that has ended its worker; a payload of the usual size takes a while to free.
  void die(Quarantine& quarantine, std::uint64_t bytes = 2 * FdCloser::kQuickBytes) {
    Job job;
    job.kind = &kind;
    auto memfd = ipc::create_memfd("test", bytes);
    ASSERT_TRUE(memfd && ipc::seal_contents(memfd->get()));
    job.fds.push_back(std::move(*memfd));
    job.payload_bytes = bytes;
    quarantine.note_death(job, 1, {CauseKind::kSignaled, SIGSEGV}, 6);
  }  // answered: what the quarantine has is the last of it
  boost::asio::io_context io;
  FdCloser closer;
  Kind kind{.name = "test.kind", .description_json = "{}"};
};

TEST_F(QuarantineTest, FreesAPayloadThatItDoesNotKeepAwayFromTheLoop) {
  Quarantine quarantine(io, closer, 0);
  die(quarantine);
  io.run();
  ASSERT_EQ(quarantine.entries().size(), 1U);
  EXPECT_FALSE(quarantine.entries().front().content);
  EXPECT_EQ(closer.threads(), 1U);
}

TEST_F(QuarantineTest, FreesAPayloadThatIsReleasedAwayFromTheLoop) {
  Quarantine quarantine(io, closer, 64U << 20);
  die(quarantine);
  io.run();
  ASSERT_TRUE(quarantine.entries().front().content);
  EXPECT_EQ(closer.threads(), 0U);
  quarantine.release(quarantine.entries().front().fingerprint.id());
  EXPECT_EQ(closer.threads(), 1U);
}

TEST_F(QuarantineTest, HasOnlySoManyDescriptorsInHandAtATime) {
  Quarantine quarantine(io, closer, 64U << 20);
  for (std::size_t i = 0; i < 2 * Quarantine::kDescriptorsHashed; ++i) die(quarantine, 4096);
  io.run();
  ASSERT_EQ(quarantine.entries().size(), 1U);
  EXPECT_EQ(quarantine.entries().front().deaths, Quarantine::kDescriptorsHashed - 1);
  die(quarantine, 4096);
  io.restart();
  io.run();
  EXPECT_EQ(quarantine.entries().front().deaths, Quarantine::kDescriptorsHashed) << "and then others";
}

}  // namespace
}  // namespace quern::supervisor
