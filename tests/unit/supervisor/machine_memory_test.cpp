#include "supervisor/machine_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace quern::supervisor {
namespace {

namespace fs = std::filesystem;

// A machine of 8 GiB, and what its cgroup files say.
struct MachineMemory : ::testing::Test {
  MachineMemory() {
    write("meminfo", "MemTotal:        8388608 kB\nMemFree:          123456 kB\n");
    write("self", "0::/system.slice/quernd.service\n");
  }
  ~MachineMemory() override { fs::remove_all(directory); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories((directory / name).parent_path());
    std::ofstream(directory / name) << text;
  }
  [[nodiscard]] std::uint64_t mib() const {
    return machine_memory_bytes({.meminfo = directory / "meminfo", .self = directory / "self", .root = directory}) >>
           20;
  }
  fs::path directory = fs::temp_directory_path() / ("quern-memory-" + std::to_string(::getpid()));
};

TEST_F(MachineMemory, IsTheMachinesWithoutALimit) { EXPECT_EQ(mib(), 8192U); }

TEST_F(MachineMemory, IsTheLeastOfTheCgroupsAboveUs) {
  write("system.slice/quernd.service/memory.max", "max\n");
  EXPECT_EQ(mib(), 8192U);
  write("system.slice/memory.max", std::to_string(2048ULL << 20));
  EXPECT_EQ(mib(), 2048U);
  write("system.slice/quernd.service/memory.high", std::to_string(1024ULL << 20));
  EXPECT_EQ(mib(), 1024U);
}

TEST_F(MachineMemory, IsTheContainersWhereOurRootIsItsCgroup) {
  write("self", "0::/\n");
  write("memory.max", std::to_string(512ULL << 20));
  EXPECT_EQ(mib(), 512U);
}

TEST_F(MachineMemory, KnowsTheFirstVersionOfCgroups) {
  write("self", "5:cpuset:/a\n4:cpu,memory:/docker/1\n1:name=systemd:/x\n");
  write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(mib(), 8192U) << "its word for no limit";
  write("memory/docker/1/memory.limit_in_bytes", std::to_string(300ULL << 20));
  EXPECT_EQ(mib(), 300U);
}

TEST_F(MachineMemory, IsUnknownWhereNothingCanBeRead) {
  EXPECT_EQ(machine_memory_bytes({.meminfo = "/nonexistent", .self = "/nonexistent", .root = "/nonexistent"}), 0U);
  EXPECT_GT(machine_memory_bytes(), 0U) << "of this one";
}

}  // namespace
}  // namespace quern::supervisor
