#include <napi.h>

#include <memory>
#include <vector>

#include "addon_data.h"
#include "append_log_binding.h"
#include "binding.h"
#include "file_range_binding.h"
#include "lock_binding.h"
#include "lock_directory_binding.h"
#include "platform.h"
#include "replace_binding.h"

namespace {

using holdfast::AddonData;
using holdfast::Instances;

void CloseData(void* data) { static_cast<AddonData*>(data)->Close(); }

// (result, host, deliver): a fresh object with every function, for one copy of the package.
Napi::Value Open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto data =
      std::make_unique<AddonData>(env, info[0].As<Napi::Float64Array>(),
                                  holdfast::StringAt(info, 1), info[2].As<Napi::Function>());
  napi_add_env_cleanup_hook(env, CloseData, data.get());
  Napi::Object functions = Napi::Object::New(env);
  holdfast::ExportLockFunctions(functions, data.get());
  holdfast::ExportLockDirectoryFunctions(functions, data.get());
  holdfast::ExportReplaceFunctions(functions, data.get());
  holdfast::ExportFileRangeFunctions(functions, data.get());
  holdfast::ExportAppendLogFunctions(functions, data.get());
  env.GetInstanceData<Instances>()->all.push_back(std::move(data));
  return functions;
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  holdfast::PinLibrary();
  env.SetInstanceData(new Instances);
  using namespace holdfast::arguments;
  holdfast::Export<Open>(exports, "open", nullptr, kNumbers + kText + kFunction);
  return exports;
}

}  // namespace

NODE_API_MODULE(holdfast, Initialize)
