#include <napi.h>

#include "binding.h"
#include "platform.h"
#include "replace_binding.h"

namespace {

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  holdfast::PinLibrary();
  holdfast::ExportFunctions(env, exports);
  holdfast::ExportReplaceFunctions(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(holdfast, Initialize)
