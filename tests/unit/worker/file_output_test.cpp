#include "worker/file_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "common/unique_fd.h"
#include "ipc/memfd.h"

namespace quern::worker {
namespace {

constexpr std::uint64_t kNoLimit = 1ULL << 40;

std::string contents(int fd) {
  std::string all(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd, all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
  return all;
}

TEST(FileOutput, WritesWhatWasCommittedAndCutsTheRest) {
  const auto file = ipc::create_memfd("file", 1U << 20);  // longer than the result
  ASSERT_TRUE(file);
  ::lseek(file->get(), 100, SEEK_SET);  // where it stands does not matter
  FileOutput output("part", file->get(), kNoLimit);
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string line = std::to_string(i) + std::string(static_cast<std::size_t>(i) % 700, '.') + "\n";
    output.write(line);
    expected += line;
  }
  const auto room = output.prepare(500'000);  // more than the buffer
  EXPECT_EQ(room.size(), 500'000U);
  std::fill_n(room.begin(), 3, std::byte{'x'});
  output.commit(3);
  expected += "xxx";
  const std::string large(600'000, 'y');
  output.write(large);
  expected += large;
  EXPECT_EQ(output.size(), expected.size());
  output.finish();
  EXPECT_EQ(contents(file->get()), expected);
}

TEST(FileOutput, OfNothingEmptiesTheFile) {
  const auto file = ipc::create_memfd("file", 10);
  FileOutput output("", file->get(), kNoLimit);
  output.finish();
  EXPECT_EQ(contents(file->get()), "");
}

TEST(FileOutput, KeepsItsLimit) {
  const auto file = ipc::create_memfd("file", 0);
  FileOutput output("", file->get(), 10);
  output.write("12345");
  EXPECT_THROW(output.write("123456"), sdk::JobError);
  EXPECT_THROW(output.write(std::string(1U << 20, 'l')), sdk::JobError);
  output.write("67890");
  output.finish();
  EXPECT_EQ(contents(file->get()), "1234567890");
}

TEST(FileOutput, NamesTheFieldWhenItCantWrite) {
  const unique_fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const auto make = [&] { FileOutput output("", null.get(), kNoLimit); };
  EXPECT_THROW(make(), sdk::JobError);
  const auto fixed = ipc::create_memfd("file", 1000);
  ASSERT_EQ(::fcntl(fixed->get(), F_ADD_SEALS, F_SEAL_GROW), 0);
  FileOutput output("", fixed->get(), kNoLimit);
  try {
    output.write(std::string(1U << 20, 'l'));
    FAIL() << "it should not fit";
  } catch (const sdk::JobError& error) {
    EXPECT_EQ(error.field(), "output_file");
  }
}

TEST(FileOutput, RefusesMoreThanWasPrepared) {
  const auto file = ipc::create_memfd("file", 0);
  FileOutput output("", file->get(), kNoLimit);
  (void)output.prepare(4);
  EXPECT_THROW(output.commit(5), std::logic_error);
}

}  // namespace
}  // namespace quern::worker
