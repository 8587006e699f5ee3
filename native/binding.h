#ifndef HOLDFAST_BINDING_H_
#define HOLDFAST_BINDING_H_

#include <napi.h>

#include "platform.h"

namespace holdfast {

// Puts every function that src/native.ts calls into `exports`. They trust their caller: what a user passes was checked
// in TypeScript.
void ExportFunctions(Napi::Env env, Napi::Object exports);

// An Error as src/errors.ts takes it.
Napi::Object ErrorValueOf(Napi::Env env, const Error& error);

// A file's state as JavaScript sees it: an opaque text.
std::string VersionText(const FileVersion& version);
FileVersion VersionOfText(const std::string& text);

}  // namespace holdfast

#endif  // HOLDFAST_BINDING_H_
