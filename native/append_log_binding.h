#ifndef HOLDFAST_APPEND_LOG_BINDING_H_
#define HOLDFAST_APPEND_LOG_BINDING_H_

#include <napi.h>

namespace holdfast {

class AddonData;

// Puts the functions that src/journal.ts uses into `exports`.
void ExportAppendLogFunctions(Napi::Object exports, AddonData* data);

}  // namespace holdfast

#endif  // HOLDFAST_APPEND_LOG_BINDING_H_
