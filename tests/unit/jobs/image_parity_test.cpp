// The table in docs/jobs.md, "Coming from sharp", is this test's list: what a row that names it says is not offered, is
// refused by its name, so that nobody is left to believe that it did something.
#include <gmock/gmock.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/jobs/pictures.h"
#include "worker/jobs/image/operations/operation.h"

namespace quern::image {
namespace {

using sdk::FakeJob;
using sdk::ParamSpec;
using testing::HasSubstr;
using testing::StartsWith;

// A row's first column. "blur: precision" has an owner: an operation or a format whose options they would be, or a
// parameter whose values.
struct Row {
  std::string owner;
  std::vector<std::string> words;
};

Row row_of(std::string column) {
  Row row;
  if (const std::size_t colon = column.find(": "); colon != std::string::npos) {
    std::ranges::remove_copy(column.substr(0, colon), std::back_inserter(row.owner), '`');
    column.erase(0, colon + 2);
  }
  for (std::size_t begin = column.find('`'); begin != std::string::npos; begin = column.find('`', begin)) {
    const std::size_t end = column.find('`', begin + 1);
    row.words.push_back(column.substr(begin + 1, end - begin - 1));
    begin = end + 1;
  }
  return row;
}

std::vector<Row> rows_that_name_this_test() {
  std::ifstream file(QUERN_SOURCE_DIR "/docs/jobs.md");
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| ") || line.find("`Parity.WhatIsNotOfferedIsRefusedByName`") == std::string::npos) continue;
    rows.push_back(row_of(line.substr(2, line.find(" | ") - 2)));
  }
  return rows;
}

// As sharp spells it, and as it would be spelled here.
std::set<std::string> spellings(const std::string& word) {
  if (word == "bitdepth") return {word, "bit_depth"};
  std::string snake;
  for (const char c : word) {
    if (std::isupper(c) != 0) snake += '_';
    snake += static_cast<char>(std::tolower(c));
  }
  return {word, snake};
}

const ParamSpec* spec_of(const std::vector<ParamSpec>& specs, std::string_view name) {
  const auto spec = std::ranges::find(specs, name, &ParamSpec::name);
  return spec == specs.end() ? nullptr : &*spec;
}

// What is right for it, if there were no more to say.
std::string value_for(const ParamSpec* spec) {
  if (spec == nullptr) return "1";
  if (!spec->choices.empty()) return '"' + spec->choices.front() + '"';
  return spec->type == sdk::ParamType::kBoolean ? "true" : std::to_string(spec->min.value_or(1));
}

const std::vector<ParamSpec>& params() { return sdk::find_kind("image.process").params; }

const sdk::ObjectSpec* operation_of(std::string_view name) {
  const auto kind =
      std::ranges::find(operation_kinds(), name, [](const OperationKind& each) { return each.spec.name; });
  return kind == operation_kinds().end() ? nullptr : &kind->spec;
}

bool is_format(const std::string& word) {
  const auto& formats = spec_of(params(), "format")->choices;
  return std::ranges::find(formats, word) != formats.end();
}

// "field: message", or nothing when it is done.
std::string refusal(const std::string& params_json) {
  static const File picture = file_of(gradient(4, 4), Format::kPng);
  try {
    FakeJob job(sdk::find_kind("image.process"), params_json);
    job.add_input(picture).run();
  } catch (const sdk::JobError& error) {
    return error.code() == sdk::JobErrorCode::kInvalidArgument ? std::string(error.field()) + ": " + error.what() : "";
  }
  return "";
}

void expect_no_option(const sdk::ObjectSpec& operation, const std::string& name) {
  EXPECT_EQ(spec_of(operation.params, name), nullptr);
  EXPECT_THAT(refusal(R"({"operations":[{"op":")" + operation.name + R"(",")" + name + R"(":1}]})"),
              StartsWith("operations[0]." + name + ": there is no parameter"));
}

void expect_no_option_of_format(const std::string& format, const std::string& name) {
  EXPECT_THAT(refusal(R"({"format":")" + format + R"(",")" + name + R"(":)" + value_for(spec_of(params(), name)) + "}"),
              StartsWith(name + ": "));
}

void expect_no_value(const std::string& parameter, const std::string& word) {
  const std::string given = '"' + parameter + R"(":")" + word + '"';
  if (spec_of(params(), parameter) != nullptr) {
    EXPECT_THAT(refusal("{" + given + "}"), HasSubstr(parameter + " must be one of")) << word;
  } else {
    EXPECT_THAT(refusal(R"({"operations":[{"op":"resize","width":2,)" + given + "}]}"),
                HasSubstr("operations[0]." + parameter + " must be one of"));
  }
}

// Neither a parameter, nor an operation.
void expect_nothing(const std::string& name) {
  EXPECT_EQ(spec_of(params(), name), nullptr);
  EXPECT_EQ(operation_of(name), nullptr);
  EXPECT_THAT(refusal(R"({")" + name + R"(":1})"), StartsWith(name + ": there is no parameter"));
  EXPECT_THAT(refusal(R"({"operations":[{"op":")" + name + R"("}]})"), StartsWith("operations[0].op: "));
}

TEST(Parity, WhatIsNotOfferedIsRefusedByName) {
  const std::vector<Row> rows = rows_that_name_this_test();
  EXPECT_GT(rows.size(), 20U) << "does the table look different now?";
  for (const Row& row : rows) {
    EXPECT_FALSE(row.words.empty()) << row.owner;
    for (const std::string& word : row.words) {
      for (const std::string& name : spellings(word)) {
        SCOPED_TRACE(row.owner + " " + name);
        if (row.owner.empty()) {
          expect_nothing(name);
        } else if (const sdk::ObjectSpec* operation = operation_of(row.owner)) {
          expect_no_option(*operation, name);
        } else if (is_format(row.owner)) {
          expect_no_option_of_format(row.owner, name);
        } else {
          expect_no_value(row.owner, name);
        }
      }
    }
  }
}

}  // namespace
}  // namespace quern::image
