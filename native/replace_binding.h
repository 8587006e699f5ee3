#ifndef HOLDFAST_REPLACE_BINDING_H_
#define HOLDFAST_REPLACE_BINDING_H_

#include <napi.h>

namespace holdfast {

class AddonData;

// Puts the functions that src/replace.ts and src/read-file.ts use into `exports`.
void ExportReplaceFunctions(Napi::Object exports, AddonData* data);

}  // namespace holdfast

#endif  // HOLDFAST_REPLACE_BINDING_H_
