// Where `quern batch` writes the result of each input.
#pragma once

#include <boost/json/object.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "client/cli/batch_inputs.h"
#include "common/error.h"

namespace quern::cli {

// How an output ends when nothing else says it: as the input does, since a result has by default its format. A BMP,
// which is read and not written, becomes a PNG.
[[nodiscard]] std::string suffix_like_input(const boost::json::object& kind, const BatchInput& input);

// DIRECTORY/FOLDER/STEM and the suffix.
[[nodiscard]] std::string output_path(std::string_view directory, const BatchInput& input, std::string_view suffix);
// Where a result of several parts goes: the same without a suffix.
[[nodiscard]] std::string output_directory(std::string_view directory, const BatchInput& input);

// The outputs of one run, so that none is written twice. Keeps a hash of each, 8 bytes and what the table adds.
class ClaimedOutputs {
 public:
  // False: another input of this run has it.
  [[nodiscard]] bool claim(std::string_view path) { return hashes_.insert(hash(path)).second; }

 private:
  [[nodiscard]] static std::uint64_t hash(std::string_view path) noexcept;
  boost::unordered_flat_set<std::uint64_t> hashes_{};
};

// Whether there is a file at `output`, no older than the one at `input`.
[[nodiscard]] bool is_up_to_date(const std::string& output, const std::string& input);

// Makes the output's directory. Refuses what would overwrite the input itself.
[[nodiscard]] Result<void> prepare_output(const std::string& output, const std::string& input);

}  // namespace quern::cli
