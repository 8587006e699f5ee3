#include "path.h"

#include <algorithm>

namespace holdfast {

std::string ParentOf(const std::string& path) {
  const size_t separator = path.find_last_of(kPathSeparators);
  if (separator == std::string::npos) return ".";
  return path.substr(0, std::max(separator, RootLength(path)));
}

std::string NameOf(const std::string& path) {
  return path.substr(path.find_last_of(kPathSeparators) + 1);
}

std::string Join(const std::string& directory, const std::string& name) {
  const bool separated = !directory.empty() &&
                         std::string(kPathSeparators).find(directory.back()) != std::string::npos;
  return separated ? directory + name : directory + kPathSeparators[0] + name;
}

Error WithPath(Error error, const std::string& path) {
  if (!error.ok() && error.path.empty()) error.path = path;
  return error;
}

}  // namespace holdfast
