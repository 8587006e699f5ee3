#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "posix.h"

namespace holdfast {

const char kPathSeparators[] = "/";

size_t RootLength(const std::string& path) { return path.compare(0, 1, "/") == 0 ? 1 : 0; }

std::string CanonicalName(const std::string& name) { return name; }

Error DescribeDirectory(Handle handle, Directory* directory) {
  struct stat status;
  Error error = InspectDirectory(DescriptorOf(handle.get()), &status, &directory->append_only);
  if (!error.ok()) return error;
  directory->handle = std::move(handle);
  directory->identity = FileStatusOf(status).identity;
  directory->mode = static_cast<uint32_t>(status.st_mode) & 07777U;
  directory->others_can_write = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  directory->owner = status.st_uid;
  return {};
}

Error OpenChildDirectory(int parent, const std::string& name, bool follow_links,
                         Directory* directory) {
  const int flags = kSearch | (follow_links ? 0 : O_NOFOLLOW);
  Handle handle(RetryOnInterrupt([&] { return openat(parent, name.c_str(), flags); }));
  if (!handle.valid()) return LastError("open");
  return DescribeDirectory(std::move(handle), directory);
}

Error WalkToDirectory(Handle start, const std::string& path, WalkPolicy policy, Handle* result) {
  Handle current = std::move(start);
  size_t begin = 0;
  while (begin < path.size()) {
    size_t end = path.find('/', begin);
    if (end == std::string::npos) end = path.size();
    const std::string component = path.substr(begin, end - begin);
    begin = end + 1;
    if (component.empty() || component == ".") continue;
    if (component == ".." && policy == WalkPolicy::kBeneath) {
      return Error::Refused(Refusal::kOutside, EXDEV, "open");
    }

    // The link is looked for first, since opening one with O_NOFOLLOW | O_DIRECTORY says ENOTDIR, as a plain file
    // would. A link that appears in between is still not followed: the open fails.
    struct stat status;
    const int parent = DescriptorOf(current.get());
    if (fstatat(parent, component.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return LastError("open");
    }
    if (S_ISLNK(status.st_mode)) return Error::Refused(Refusal::kLink, ELOOP, "open");
    Handle next(
        RetryOnInterrupt([&] { return openat(parent, component.c_str(), kSearch | O_NOFOLLOW); }));
    if (!next.valid()) return LastError("open");
    current = std::move(next);
  }
  *result = std::move(current);
  return {};
}

Error InspectName(const Directory& directory, const std::string& name, FileStatus* status) {
  struct stat found;
  const int result = RetryOnInterrupt(
      [&] { return fstatat(DescriptorOf(directory), name.c_str(), &found, AT_SYMLINK_NOFOLLOW); });
  if (result == 0) {
    *status = FileStatusOf(found);
    return {};
  }
  if (errno != ENOENT) return LastError("lstat");
  *status = FileStatus{};
  return {};
}

Error OpenForReading(const Directory& directory, Handle* handle) {
  handle->Reset(RetryOnInterrupt(
      [&] { return openat(DescriptorOf(directory), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  return handle->valid() ? Error{} : LastError("open");
}

Error OpenForStamping(const Directory& parent, const std::string& name, Handle* handle,
                      FileStatus* status) {
  const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Handle opened(
      RetryOnInterrupt([&] { return openat(DescriptorOf(parent), name.c_str(), flags); }));
  if (!opened.valid()) return errno == ENOENT ? Error{} : LastError("open");
  Error error = InspectFile(opened.get(), status);
  if (error.ok()) *handle = std::move(opened);
  return error;
}

Error FindNames(const Directory& directory, const std::string& prefix, const std::string& suffix,
                std::vector<std::string>* names) {
  struct Close {
    void operator()(DIR* listing) const { closedir(listing); }
  };
  Handle handle;
  Error error = OpenForReading(directory, &handle);
  if (!error.ok()) return error;
  const std::unique_ptr<DIR, Close> listing(fdopendir(DescriptorOf(handle.get())));
  if (!listing) return LastError("opendir");
  handle.Detach();  // closedir() closes it
  for (;;) {
    errno = 0;
    // Each listing has a state of its own.
    const struct dirent* entry = readdir(listing.get());  // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr) return errno == 0 ? Error{} : LastError("readdir");
    const std::string name = entry->d_name;
    if (name.size() >= prefix.size() + suffix.size() &&
        name.compare(0, prefix.size(), prefix) == 0 &&
        name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0) {
      names->push_back(name);
    }
  }
}

}  // namespace holdfast
