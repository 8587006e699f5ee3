#ifndef HOLDFAST_REPLACE_BINDING_H_
#define HOLDFAST_REPLACE_BINDING_H_

#include <napi.h>

namespace holdfast {

// Puts the functions that src/replace.ts and src/read.ts use into `exports`.
void ExportReplaceFunctions(Napi::Env env, Napi::Object exports);

}  // namespace holdfast

#endif  // HOLDFAST_REPLACE_BINDING_H_
