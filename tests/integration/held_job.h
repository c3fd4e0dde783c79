// A job that runs until its test lets it go, so that no test has to guess how long it must take. It waits for a word of
// a shared buffer.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

#include "client/client.h"

namespace quern::test {

class HeldJob {
 public:
  // Submits it to module debug. The client must outlive it.
  explicit HeldJob(client::Client& client, std::uint32_t attempts = 1)
      : buffer_(create(client)), outcome_(client.submit(job(attempts))) {}
  // Attempts that begin later end at once.
  void let_go() {
    const auto words = buffer_.as<std::uint32_t>();
    words[0].store(1);
    words.notify_all(0);
  }
  [[nodiscard]] Result<client::JobResult> get() { return outcome_.get(); }

 private:
  static client::SharedBuffer create(client::Client& client) {
    auto buffer = client.create_shared({.bytes = 64});
    EXPECT_TRUE(buffer) << to_string(buffer.error());
    return std::move(buffer.value());
  }
  [[nodiscard]] client::Job job(std::uint32_t attempts) const {
    client::Job job{.kind = "debug.wait", .params_json = R"({"ms":600000})"};
    job.options.attempts = attempts;
    job.options.shared_buffers = {buffer_.id()};
    return job;
  }

  client::SharedBuffer buffer_;
  client::PendingJob outcome_;
};

}  // namespace quern::test
