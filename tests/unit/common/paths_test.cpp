#include "common/paths.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string>

namespace quern {
namespace {

// Puts the variables that default_runtime_dir() reads back as they were.
class Paths : public ::testing::Test {
 protected:
  Paths() {
    for (std::size_t i = 0; i < kVariables.size(); ++i) {
      if (const char* value = std::getenv(kVariables[i]); value != nullptr) before_[i] = value;
      ::unsetenv(kVariables[i]);
    }
  }
  ~Paths() override {
    for (std::size_t i = 0; i < kVariables.size(); ++i) {
      ::unsetenv(kVariables[i]);
      if (before_[i]) ::setenv(kVariables[i], before_[i]->c_str(), 1);
    }
  }

 private:
  static constexpr std::array<const char*, 3> kVariables{"QUERN_RUNTIME_DIR", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"};
  std::array<std::optional<std::string>, 3> before_;
};

TEST_F(Paths, TheOperatorsWordCountsBeforeSystemds) {
  ::setenv("RUNTIME_DIRECTORY", "/run/by-systemd", 1);
  EXPECT_EQ(default_runtime_dir(), "/run/by-systemd");
  ::setenv("QUERN_RUNTIME_DIR", "/run/by-hand", 1);
  EXPECT_EQ(default_runtime_dir(), "/run/by-hand");
}

TEST_F(Paths, AnEmptyVariableIsNone) {
  const std::string without = default_runtime_dir();
  ::setenv("QUERN_RUNTIME_DIR", "", 1);
  EXPECT_EQ(default_runtime_dir(), without);
}

TEST_F(Paths, RootAndOthersHaveDirectoriesOfTheirOwn) {
  ::setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1);
  EXPECT_EQ(default_runtime_dir(), ::geteuid() == 0 ? "/run/quern" : "/run/user/1000/quern");
}

TEST_F(Paths, TheExecutableIsFoundWhereverItWasStartedFrom) {
  const std::string dir = executable_dir();
  ASSERT_FALSE(dir.empty());
  EXPECT_EQ(dir.front(), '/');
  EXPECT_EQ(::access((dir + "/quern_common_test").c_str(), X_OK), 0);
}

}  // namespace
}  // namespace quern
