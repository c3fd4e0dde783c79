// A file whose file system stops answering: FUSE (fuse(4)), served by a thread of the test, which answers what it
// takes to open the file and then leaves every flush, and if wanted every question about the file, unanswered.
//
// Whoever closes such a file waits until the mount is gone, the test's own close() included: destroy the HangingFile
// first.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "common/unique_fd.h"

namespace quern::test {

class HangingFile {
 public:
  // False where FUSE can't be had: no /dev/fuse, not root, or a kernel without it.
  [[nodiscard]] static bool possible();

  HangingFile();
  HangingFile(const HangingFile&) = delete;
  HangingFile& operator=(const HangingFile&) = delete;
  // Everybody who waits gets an error.
  ~HangingFile();

  // Open for reading and writing.
  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  // From now on fstat(2) waits too.
  void hang_entirely() noexcept { entirely_ = true; }
  // How many requests nobody answers.
  [[nodiscard]] int waiting() const noexcept { return waiting_; }

 private:
  void serve();

  std::string directory_;
  unique_fd device_;
  unique_fd file_;
  std::atomic<bool> entirely_ = false;
  std::atomic<int> waiting_ = 0;
  std::thread thread_;
};

}  // namespace quern::test
