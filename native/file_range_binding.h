#ifndef HOLDFAST_FILE_RANGE_BINDING_H_
#define HOLDFAST_FILE_RANGE_BINDING_H_

#include <napi.h>

namespace holdfast {

class AddonData;

// Puts the functions for parts of files that src/native.ts calls into `exports`.
void ExportFileRangeFunctions(Napi::Object exports, AddonData* data);

}  // namespace holdfast

#endif  // HOLDFAST_FILE_RANGE_BINDING_H_
