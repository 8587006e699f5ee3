#ifndef HOLDFAST_BINDING_H_
#define HOLDFAST_BINDING_H_

#include <napi.h>

namespace holdfast {

// Puts every function that src/native.ts calls into `exports`. They trust their caller: what a user passes was checked
// in TypeScript.
void ExportFunctions(Napi::Env env, Napi::Object exports);

}  // namespace holdfast

#endif  // HOLDFAST_BINDING_H_
