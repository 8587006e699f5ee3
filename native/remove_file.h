#ifndef HOLDFAST_REMOVE_FILE_H_
#define HOLDFAST_REMOVE_FILE_H_

#include <optional>
#include <string>
#include <vector>

#include "platform.h"

namespace holdfast {

struct RemoveRequest {
  std::string path;  // absolute
  ParentPolicy parents = ParentPolicy::kTrust;
  std::optional<FileVersion> expected;
};

// Removes the file, unless it is absent, in another state than `expected` or another one is in its place: `*removed` tells.
// What compares and what removes are two steps, so that it is atomic only among those who hold one lock. Without `expected`
// any file of that name goes, a link itself, but no directory. The name is looked up in a directory that is opened once.
Error RemoveFile(const RemoveRequest& request, bool* removed);

// Lists the names in the directory `path`.
Error ListNames(const std::string& path, ParentPolicy parents, std::vector<std::string>* names);

}  // namespace holdfast

#endif  // HOLDFAST_REMOVE_FILE_H_
