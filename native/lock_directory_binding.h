#ifndef HOLDFAST_LOCK_DIRECTORY_BINDING_H_
#define HOLDFAST_LOCK_DIRECTORY_BINDING_H_

#include <napi.h>

namespace holdfast {

class AddonData;

// Puts the functions for the directory that goes with a lock into `exports`; see ExportLockFunctions().
void ExportLockDirectoryFunctions(Napi::Object exports, AddonData* data);

}  // namespace holdfast

#endif  // HOLDFAST_LOCK_DIRECTORY_BINDING_H_
