#include "target_directory.h"

#include <cerrno>

#include "path.h"

namespace holdfast {

namespace {

class DirectoryOpening {
 public:
  explicit DirectoryOpening(const TargetDirectoryRequest& request) : request_(request) {}

  Error Open(const std::string& directory, Directory* opened);

 private:
  // Opens a directory on the way, under the policy for links and never outside of `within`.
  Error OpenInside(const std::string& directory, Directory* opened) const;
  Error OpenOrMake(const std::string& directory, Directory* opened) const;

  const TargetDirectoryRequest& request_;
  Directory root_;  // `within`, if it is given
};

Error DirectoryOpening::OpenInside(const std::string& directory, Directory* opened) const {
  Error error = OpenDirectory(directory, request_.parents, opened);
  if (!error.ok() || request_.within.empty()) return WithPath(error, directory);
  // The path is resolved once more, below the root and never out of it; only what is reached that way is used.
  const size_t root = Join(request_.within, "").size();
  const std::string below = directory.size() > root ? directory.substr(root) : std::string();
  Directory beneath;
  error = OpenBeneath(root_, below, &beneath);
  if (!error.ok()) return WithPath(error, directory);
  *opened = std::move(beneath);
  return {};
}

Error DirectoryOpening::OpenOrMake(const std::string& directory, Directory* opened) const {
  Error error = OpenInside(directory, opened);
  if (error.number != ENOENT || !request_.make) return error;
  const std::string parent = ParentOf(directory);
  if (parent == directory || directory == request_.within) return error;
  error = OpenOrMake(parent, opened);
  if (!error.ok()) return error;
  Directory made;
  bool created = false;
  error = MakeDirectory(*opened, NameOf(directory), request_.mode, &made, &created);
  if (error.ok() && request_.flush_made) error = FlushDirectory(*opened);
  if (!error.ok()) return WithPath(error, directory);
  // Somebody else may have made it meanwhile, as a link for instance, which not every caller wants to be followed.
  if (!request_.within.empty() || request_.parents == ParentPolicy::kRefuseLinks) {
    return OpenInside(directory, opened);
  }
  *opened = std::move(made);
  return {};
}

Error DirectoryOpening::Open(const std::string& directory, Directory* opened) {
  if (request_.within.empty()) return OpenOrMake(directory, opened);
  const std::string prefix = Join(request_.within, "");
  if (directory != request_.within && directory.compare(0, prefix.size(), prefix) != 0) {
    return Error::Refused(Refusal::kOutside, EXDEV, "open", directory);
  }
  Error error = OpenDirectory(request_.within, request_.parents, &root_);
  return error.ok() ? OpenOrMake(directory, opened) : WithPath(error, request_.within);
}

}  // namespace

Error OpenTargetDirectory(const TargetDirectoryRequest& request, const std::string& directory,
                          Directory* opened) {
  Error error = DirectoryOpening(request).Open(directory, opened);
  if (!error.ok()) return error;
  if (request.tightened_mode && IsOwnedByUs(*opened) &&
      (opened->mode & kPermissions) != *request.tightened_mode) {
    error = SetDirectoryMode(*opened, *request.tightened_mode);
    if (!error.ok()) return error;
    opened->mode = *request.tightened_mode;
  }
  if (request.required_mode && (opened->mode & kPermissions) != *request.required_mode) {
    return Error::Refused(Refusal::kDirectoryMode, EPERM, "open");
  }
  return {};
}

}  // namespace holdfast
