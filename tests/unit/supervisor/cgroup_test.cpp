// Cgroups on a directory tree that looks like one. In it control files are made by hand, where the
// kernel makes them with the directory.
#include "supervisor/cgroup.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace quern::supervisor {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class CgroupTest : public ::testing::Test {
 protected:
  CgroupTest() {
    std::string pattern = ::testing::TempDir() + "cgroup.XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    write(root_ / "self", "5:cpu:/elsewhere\n0::/unit.service\n");
    write(unit() / "cgroup.controllers", "cpu memory pids\n");
    write(unit() / "cgroup.subtree_control", "");
    write(unit() / "cgroup.procs", "");
    write(unit() / "supervisor" / "cgroup.procs", "");
  }
  ~CgroupTest() override { fs::remove_all(root_); }

  static void write(const fs::path& file, std::string_view text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  static std::string read(const fs::path& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }
  [[nodiscard]] fs::path unit() const { return root_ / "unit.service"; }
  [[nodiscard]] CgroupPaths paths() const { return {.self = (root_ / "self").string(), .root = root_.string()}; }
  [[nodiscard]] std::string refusal() const {
    const auto taken = Cgroups::take(paths());
    return taken ? "taken" : taken.error().message;
  }

  fs::path root_;
};

TEST_F(CgroupTest, HandsTheMemoryControllerDown) {
  const auto taken = Cgroups::take(paths());
  ASSERT_TRUE(taken) << to_string(taken.error());
  EXPECT_EQ((*taken)->directory(), unit().string());
  EXPECT_THAT(read(unit() / "cgroup.subtree_control"), HasSubstr("+"));
}

TEST_F(CgroupTest, SaysWhyThereIsNone) {
  write(root_ / "self", "5:memory:/elsewhere\n");
  EXPECT_THAT(refusal(), HasSubstr("no cgroup v2"));
  write(root_ / "self", "0::/\n");
  EXPECT_THAT(refusal(), HasSubstr("root cgroup"));
  write(root_ / "self", "0::/nowhere\n");
  EXPECT_THAT(refusal(), HasSubstr("nowhere/cgroup.controllers"));
  write(root_ / "self", "0::/unit.service\n");
  write(unit() / "cgroup.controllers", "cpu pids memory2\n");
  EXPECT_THAT(refusal(), HasSubstr("no memory controller"));
  fs::remove(root_ / "self");
  EXPECT_THAT(refusal(), HasSubstr("self"));
}

TEST_F(CgroupTest, DoesNotGoOnWithoutHavingMovedItself) {
  write(unit() / "cgroup.procs", std::to_string(::getpid()) + "\n");
  fs::remove(unit() / "supervisor" / "cgroup.procs");
  EXPECT_THAT(refusal(), HasSubstr("supervisor/cgroup.procs"));
  EXPECT_EQ(read(unit() / "cgroup.subtree_control"), "");
}

TEST_F(CgroupTest, AnUnboundedLeafTakesAProcessKillsItsOwnAndIsRemoved) {
  auto groups = Cgroups::take(paths()).value();
  fs::path directory;
  {
    auto leaf = groups->make_leaf(0);
    ASSERT_TRUE(leaf) << to_string(leaf.error());
    directory = leaf->directory();
    EXPECT_FALSE(leaf->kill()) << "no cgroup.kill: an old kernel";
    EXPECT_FALSE(leaf->add(1));
    write(directory / "cgroup.procs", "");
    write(directory / "cgroup.kill", "");
    ASSERT_TRUE(leaf->add(4711));
    EXPECT_EQ(read(directory / "cgroup.procs"), "4711");
    EXPECT_TRUE(leaf->kill());
    EXPECT_EQ(read(directory / "cgroup.kill"), "1");
    EXPECT_EQ(leaf->oom_kills(), 0U);
    write(directory / "memory.events", "low 0\noom 7\noom_kill 3\noom_group_kill 1\n");
    EXPECT_EQ(leaf->oom_kills(), 3U);
  }
  EXPECT_TRUE(fs::exists(directory)) << "not empty yet, as with a zombie in it";
  for (const char* file : {"cgroup.procs", "cgroup.kill", "memory.events"}) fs::remove(directory / file);
  EXPECT_TRUE(groups->make_leaf(0));
  EXPECT_FALSE(fs::exists(directory)) << "the next one made sweeps";
}

TEST_F(CgroupTest, ALeafThatCanNotBeBoundedIsAnErrorAndLeavesNothing) {
  auto groups = Cgroups::take(paths()).value();
  EXPECT_FALSE(groups->make_leaf(1U << 20)) << "there is no memory.max here";
  for (const auto& entry : fs::directory_iterator(unit())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("worker-")) << entry.path();
  }
}

TEST(MemoryCap, HasNames) {
  EXPECT_EQ(name(MemoryCap::kCgroup), "cgroup");
  EXPECT_EQ(name(MemoryCap::kRlimit), "rlimit");
  EXPECT_EQ(name(MemoryCap::kNone), "none");
}

}  // namespace
}  // namespace quern::supervisor
