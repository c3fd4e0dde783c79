#include "client/cli/batch_outputs.h"

#include <fmt/format.h>

#include <filesystem>

#include "client/cli/job_arguments.h"
#include "client/cli/result_format.h"

namespace quern::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

}  // namespace

std::string suffix_like_input(const json::object& kind, const BatchInput& input) {
  std::string suffix = fs::path(input.path).extension().string();
  const bool is_bmp = suffix == ".bmp" || suffix == ".BMP";
  return is_bmp && !format_of(kind, input.path) && format_of(kind, "a.png") ? ".png" : suffix;
}

std::string output_path(std::string_view directory, const BatchInput& input, std::string_view suffix) {
  return output_directory(directory, input).append(suffix);
}

std::string output_directory(std::string_view directory, const BatchInput& input) {
  return (fs::path(directory) / input.folder / fs::path(input.path).stem()).string();
}

// FNV-1a: two of a million names have the same one with a probability of 1 in 30 million, and are then refused.
std::uint64_t ClaimedOutputs::hash(std::string_view path) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

bool is_up_to_date(const std::string& output, const std::string& input) {
  std::error_code missing;
  if (!fs::is_regular_file(output, missing)) return false;
  const auto made = fs::last_write_time(output, missing);
  if (missing) return false;
  const auto changed = fs::last_write_time(input, missing);
  return !missing && made >= changed;
}

Result<void> prepare_output(const std::string& output, const std::string& input) {
  std::error_code failure;
  if (fs::equivalent(output, input, failure)) {
    return usage_error("its output would replace it; give another --to or --suffix", "to");
  }
  if (fs::exists(output, failure) && !fs::is_regular_file(output, failure)) {
    return usage_error(fmt::format("{} is there, and no regular file", output), "to");
  }
  fs::create_directories(fs::path(output).parent_path(), failure);
  if (failure) return system_error("create the directory of", output, failure.value());
  return {};
}

}  // namespace quern::cli
