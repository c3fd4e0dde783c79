// A kind as people and programs see it: the JSON object behind `quern kinds --json`.
//
//     {"name","summary","params":[{"name","type","help","default","required","min","max","choices"}],
//      "input":{"parts_min","parts_max","help"},"output","sensitive"}
#pragma once

#include <string>

#include "worker/sdk/job.h"

namespace quern::sdk {

[[nodiscard]] std::string describe(const Kind& kind);

}  // namespace quern::sdk
