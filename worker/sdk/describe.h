// A kind as people and programs see it: the JSON object behind `quern kinds --json`.
//
//     {"name","summary","params":[{"name","type","help","default","required","min","max","choices"}],
//      "input":{"parts_min","parts_max","help"},"output","sensitive"}
//
// A parameter of type "list" also has "items":[{"name","help","params":[...]}], the shapes of its objects, and where
// there are several, "tag": the objects' member that names the shape.
//
// A kind that says how files of its results end also has "output_suffix". A health kind also has "canary":true, so that
// lists can leave it out.
#pragma once

#include <string>

#include "worker/sdk/job.h"

namespace quern::sdk {

enum class KindRole { kOrdinary, kHealth };
[[nodiscard]] std::string describe(const Kind& kind, KindRole role = KindRole::kOrdinary);

}  // namespace quern::sdk
