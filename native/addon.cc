#include <napi.h>

#include "binding.h"
#include "platform.h"

namespace {

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  holdfast::PinLibrary();
  holdfast::ExportFunctions(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(holdfast, Initialize)
