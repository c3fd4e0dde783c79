#include "worker/modules.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "worker/health.h"

namespace quern::worker {
namespace {

Error bad_module(const std::string& path, std::string_view reason) {
  return Error{
      .code = ErrorCode::kInvalidArgument, .message = fmt::format("module {}: {}", path, reason), .field = "modules"};
}

Result<const sdk::Module*> load_module(const std::string& path) {
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return bad_module(path, ::dlerror());
  using Entry = const sdk::Module* (*)();
  const auto entry = reinterpret_cast<Entry>(::dlsym(handle, "quern_job_module_v1"));
  if (entry == nullptr)
    return bad_module(path, "it exports no quern_job_module_v1; see QUERN_JOB_MODULE in worker/sdk/job.h");
  try {
    const sdk::Module* module = entry();
    if (module->sdk_version != sdk::kSdkVersion) {
      return bad_module(
          path, fmt::format("it was built for SDK version {}, this is {}", module->sdk_version, sdk::kSdkVersion));
    }
    if (module->preload) module->preload();
    return module;
  } catch (const std::exception& failure) {
    return bad_module(path, failure.what());
  }
}

Result<void> check_canary_of(const sdk::Kind& kind, const std::string& path) {
  if (!kind.canary) return {};
  try {
    check_canary(kind);
    return {};
  } catch (const sdk::JobError& failure) {
    return bad_module(path, fmt::format("the canary of kind {}: {}", kind.name, failure.what()));
  }
}

}  // namespace

Result<std::vector<const sdk::Kind*>> load_modules(const std::vector<std::string>& paths) {
  std::vector<const sdk::Kind*> kinds;
  for (const std::string& path : paths) {
    const auto module = load_module(path);
    if (!module) return module.error();
    for (const sdk::Kind& kind : (*module)->kinds) {
      const bool known = std::ranges::any_of(kinds, [&](const sdk::Kind* other) { return other->name == kind.name; });
      if (known) return bad_module(path, fmt::format("kind {} is in another module of this pool already", kind.name));
      if (kind.name.empty() || kind.name.size() > 63) return bad_module(path, "a kind's name has 1 to 63 bytes");
      if (!kind.run) return bad_module(path, fmt::format("kind {} has no function to run", kind.name));
      if (kind.name.starts_with(kHealthPrefix)) {
        return bad_module(path, fmt::format("kind {}: names with {} are Quern's own", kind.name, kHealthPrefix));
      }
      if (auto checked = check_canary_of(kind, path); !checked) return checked.error();
      kinds.push_back(&kind);
    }
  }
  return kinds;
}

}  // namespace quern::worker
