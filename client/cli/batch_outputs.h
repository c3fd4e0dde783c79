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

// What the kind's parameters say of the result: ".webp" when its parameter `format`, a choice of words, is or falls
// back to "webp". Nothing when they don't say.
[[nodiscard]] std::optional<std::string> result_suffix(const boost::json::object& kind,
                                                       const boost::json::object& params);

// DIRECTORY/FOLDER/STEM and the suffix; without one, the input's own.
[[nodiscard]] std::string output_path(std::string_view directory, const BatchInput& input,
                                      const std::optional<std::string>& suffix);
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
