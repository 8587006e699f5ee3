#ifndef HOLDFAST_REMOVE_FILE_H_
#define HOLDFAST_REMOVE_FILE_H_

#include <string>

#include "platform.h"

namespace holdfast {

struct RemoveRequest {
  std::string path;  // absolute
  ParentPolicy parents = ParentPolicy::kTrust;
  FileVersion expected;
};

// Removes the file, unless it is in another state than `expected` or another one is in its place: `*removed` tells. What
// compares and what removes are two steps, so that it is atomic only among those who hold one lock.
Error RemoveFile(const RemoveRequest& request, bool* removed);

}  // namespace holdfast

#endif  // HOLDFAST_REMOVE_FILE_H_
