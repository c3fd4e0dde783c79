#include "tests/integration/leak_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace quern::test {
namespace {

constexpr auto kRestMax = 30s;  // a pool in a crash loop waits up to 12 s for its next start

struct Stat {
  char state = 0;
  pid_t parent = 0;
};

// Of a process that is gone: zeros.
Stat stat_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text;
  std::getline(file, text);
  const auto end = text.rfind(')');  // the name before it may hold anything
  Stat stat;
  if (end == std::string::npos) return stat;
  std::istringstream rest(text.substr(end + 1));
  rest >> stat.state >> stat.parent;
  return stat;
}

}  // namespace

LeakCheck::LeakCheck(const Server& server) {
  {
    Operator op(server);
    EXPECT_TRUE(eventually([&] { return op.at_rest(); }, kRestMax)) << boost::json::serialize(op.status());
    const boost::json::object status = op.status();
    for (const auto& pool : status.at("pools").as_array()) {
      workers_[std::string(pool.at("name").as_string())] = pool.at("workers_target").to_number<std::uint64_t>();
    }
    holdings_ = server.holdings();
    children_ = server.children().size();
  }
  // a test may count connections
  EXPECT_TRUE(eventually([&] { return server.open_fds() < holdings_.fds; }));
}

void LeakCheck::expect_back_at_rest(const Server& server) const {
  try {
    Operator op(server);
    (void)op.release_quarantine();
    for (const auto& [pool, workers] : workers_) {
      if (op.pool(pool).at("workers_target").to_number<std::uint64_t>() == workers) continue;
      EXPECT_TRUE(op.ask(wire::AdminOp::kResize, pool, workers));
    }
    EXPECT_TRUE(eventually([&] { return op.at_rest(); }, kRestMax))
        << "not at rest after the test: " << boost::json::serialize(op.status());
    EXPECT_TRUE(eventually([&] { return op.accounts_are_empty(); }))
        << "something is still on a client's account: " << boost::json::serialize(op.status().at("users"));
    // what the loop closes in its next turn, a template that is being born, and a content that was still being hashed
    const auto holds_as_before = [&] {
      (void)op.release_quarantine();
      return server.holdings() == holdings_;
    };
    EXPECT_TRUE(eventually(holds_as_before))
        << "after the start: " << holdings_ << "\nafter the test: " << server.holdings();
    EXPECT_TRUE(eventually([&] { return server.children().size() == children_ && server.zombies() == 0; }))
        << "after the start: " << children_ << " children\nafter the test: " << server.children().size() << ", and "
        << server.zombies() << " zombies";
  } catch (const std::exception& error) {
    ADD_FAILURE() << "quernd can't be looked at after the test: " << error.what();
  }
}

std::vector<pid_t> descendants(pid_t root) {
  std::vector<std::pair<pid_t, pid_t>> parents;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    parents.emplace_back(std::stoi(name), stat_of(name).parent);
  }
  std::vector<pid_t> found{root};
  for (std::size_t at = 0; at < found.size(); ++at) {
    for (const auto& [pid, parent] : parents) {
      if (parent == found[at]) found.push_back(pid);
    }
  }
  found.erase(found.begin());
  return found;
}

bool is_alive(pid_t pid) {
  const char state = stat_of(std::to_string(pid)).state;
  return state != 0 && state != 'Z' && state != 'X';
}

}  // namespace quern::test
