#include "remove_file.h"

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
  if (status.kind != FileKind::kRegular || !(VersionOf(status) == request.expected)) return {};
  error = RemoveName(directory, name, status.identity);
  *removed = error.ok();
  return WithPath(error, path);
}

}  // namespace holdfast
