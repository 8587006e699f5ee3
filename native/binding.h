#ifndef HOLDFAST_BINDING_H_
#define HOLDFAST_BINDING_H_

#include <napi.h>

#include "platform.h"

namespace holdfast {

class AddonData;

// Puts the functions for locks that src/native.ts calls into `exports`, working on `data`. They trust their caller: what
// a user passes was checked in TypeScript.
void ExportLockFunctions(Napi::Object exports, AddonData* data);

template <Napi::Value (*Callback)(const Napi::CallbackInfo&)>
void Export(Napi::Object exports, const char* name, AddonData* data) {
  exports.Set(name, Napi::Function::New<Callback>(exports.Env(), name, data));
}

// An Error as src/errors.ts takes it.
Napi::Object ErrorValueOf(Napi::Env env, const Error& error);

// A file's state as JavaScript sees it: an opaque text.
std::string VersionText(const FileVersion& version);
FileVersion VersionOfText(const std::string& text);

}  // namespace holdfast

#endif  // HOLDFAST_BINDING_H_
