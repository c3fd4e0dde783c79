// The job modules of a pool, loaded: shared objects and the kinds they announce.
#pragma once

#include <string>
#include <vector>

#include "common/error.h"
#include "worker/sdk/job.h"

namespace quern::worker {

// All kinds of all modules, in load order: a kind's index here is its number in descriptors. Modules
// are never unloaded. An Error names the file and what is wrong with it.
[[nodiscard]] Result<std::vector<const sdk::Kind*>> load_modules(const std::vector<std::string>& paths);

}  // namespace quern::worker
