// A fuzzer's checked-in inputs, as seeds.cpp writes them.
#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "ipc/bytes.h"

namespace quern::fuzz {

// Files seed-NAME in ROOT/FUZZER; throws what the file system says.
class Corpus {
 public:
  Corpus(const std::filesystem::path& root, std::string_view name) : directory_(root / name) {
    std::filesystem::create_directories(directory_);
  }
  void add(std::string_view name, ipc::ByteSpan bytes) const {
    std::ofstream file(directory_ / ("seed-" + std::string(name)), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) throw std::runtime_error("can't write " + directory_.string());
  }

 private:
  std::filesystem::path directory_;
};

}  // namespace quern::fuzz
