#include "path.h"

#include <cerrno>

namespace holdfast {

namespace {

constexpr int kMaxLinks = 40;  // as many as Linux follows in one path

}  // namespace

std::string ParentOf(const std::string& path) {
  const size_t separator = path.find_last_of(kPathSeparators);
  if (separator == std::string::npos) return ".";
  return separator == 0 ? path.substr(0, 1) : path.substr(0, separator);
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

Error FollowLinks(ParentPolicy parents, std::string* path) {
  for (int links = 0; links < kMaxLinks; links++) {
    Directory directory;
    Error error = OpenDirectory(ParentOf(*path), parents, &directory);
    if (!error.ok()) return WithPath(error, ParentOf(*path));
    FileStatus status;
    error = InspectName(directory, NameOf(*path), &status);
    if (!error.ok()) return WithPath(error, *path);
    if (status.kind != FileKind::kLink) return {};

    std::string target;
    error = ReadLink(directory, NameOf(*path), &target);
    if (!error.ok()) return WithPath(error, *path);
    const size_t end = target.find_last_not_of(kPathSeparators);
    target.resize(end == std::string::npos ? 0 : end + 1);
    const std::string name = NameOf(target);
    // A target like "../.." has no name of its own that a lock file could be named after.
    if (name.empty() || name == "." || name == "..") {
      return Error::Refused(Refusal::kLink, ELOOP, "readlink", *path);
    }
    const bool absolute = std::string(kPathSeparators).find(target[0]) != std::string::npos;
    *path = absolute ? target : Join(ParentOf(*path), target);
  }
  return Error::Refused(Refusal::kLink, ELOOP, "readlink", *path);
}

}  // namespace holdfast
