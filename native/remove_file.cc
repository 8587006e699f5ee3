#include "remove_file.h"

#include <cerrno>

#include "path.h"

namespace holdfast {

Error RemoveFile(const RemoveRequest& request, bool* removed) {
  *removed = false;
  const std::string& path = request.path;
  Directory directory;
  Error error = OpenDirectory(ParentOf(path), request.parents, &directory);
  if (!error.ok()) return WithPath(error, ParentOf(path));
  const std::string name = NameOf(path);
  FileStatus status;
  error = InspectName(directory, name, &status);
  if (!error.ok()) return WithPath(error, path);
  if (status.kind == FileKind::kAbsent) return {};
  if (request.expected) {
    if (status.kind != FileKind::kRegular || !(VersionOf(status) == *request.expected)) return {};
  } else if (status.kind == FileKind::kDirectory) {
    return Error::Refused(Refusal::kNotRegular, EINVAL, "unlink", path);
  }
  error = RemoveName(directory, name, status.identity);
  *removed = error.ok();
  return WithPath(error, path);
}

Error ListNames(const std::string& path, ParentPolicy parents, std::vector<std::string>* names) {
  Directory directory;
  Error error = OpenDirectory(path, parents, &directory);
  if (error.ok()) error = FindNames(directory, "", "", names);
  return WithPath(error, path);
}

}  // namespace holdfast
