// The names of temporary files.
#ifndef HOLDFAST_TEMPORARY_NAME_H_
#define HOLDFAST_TEMPORARY_NAME_H_

#include <string>

#include "error.h"

namespace holdfast {

// kTemporaryPrefix, 32 hexadecimal digits that nobody can guess, and `suffix`.
Error RandomName(const char* suffix, std::string* name);

// The name under which a file waits to replace `name`. It is always the same: one file at a time can have it, and what a
// kill between two system calls leaves there is found by the next one who replaces the file.
std::string WaitingName(const std::string& name);

// Whether RandomName() may have made `name`, with kTemporarySuffix.
bool IsRandomName(const std::string& name);

}  // namespace holdfast

#endif  // HOLDFAST_TEMPORARY_NAME_H_
