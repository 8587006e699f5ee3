#ifndef HOLDFAST_LOCK_BINDING_H_
#define HOLDFAST_LOCK_BINDING_H_

#include <napi.h>

namespace holdfast {

class AddonData;

// Puts the functions for locks that src/native.ts calls into `exports`, working on `data`. They trust their caller: what
// a user passes was checked in TypeScript.
void ExportLockFunctions(Napi::Object exports, AddonData* data);

}  // namespace holdfast

#endif  // HOLDFAST_LOCK_BINDING_H_
