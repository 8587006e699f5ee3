// Directories that are made. Where others can rename, the name that was just given to a directory may lead to another one of
// the caller's when it is opened, so no mode is ever set on a directory that does not prove to be the new one.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "../bounds.h"
#include "../temporary_name.h"
#include "posix.h"

namespace holdfast {

namespace {

constexpr uint32_t kOwnersBits = 0700;

// Makes and opens `name`; `*created` is false if it exists.
Error MakeAndOpen(int parent, const std::string& name, uint32_t mode, Directory* directory,
                  bool* created) {
  *created = mkdirat(parent, name.c_str(), static_cast<mode_t>(mode)) == 0;
  if (!*created) return errno == EEXIST ? Error{} : LastError("mkdir");
  return OpenChildDirectory(parent, name, /*follow_links=*/false, directory);
}

// Makes a directory of exactly `mode`, and the set-group-id bit that it inherits, under a random name. A mode that the umask
// or a default list changes is set on a second one, which is made with permissions that no other directory has.
Error MakeUnderRandomName(int parent, uint32_t mode, std::string* name, Directory* directory) {
  for (const uint32_t initial : {mode, kModeOfNewDirectory}) {
    Error error = RandomName(kTemporarySuffix, name);
    bool created = false;
    if (error.ok()) error = MakeAndOpen(parent, *name, initial, directory, &created);
    if (error.ok() && !created) error = Error::FromSystem(EEXIST, "mkdir");
    const uint32_t permissions = directory->mode & kPermissions;
    if (error.ok() && !IsOwnedByUs(*directory)) error = Error::FromSystem(ESTALE, "mkdir");
    if (error.ok() && permissions == mode) return {};
    if (error.ok() && initial == kModeOfNewDirectory) {
      const uint32_t inherited = directory->mode & S_ISGID;
      error = permissions == kModeOfNewDirectory ? SetDirectoryMode(*directory, mode | inherited)
                                                 : Error::FromSystem(ESTALE, "mkdir");
      if (error.ok()) {
        directory->mode = mode | inherited;
        return {};
      }
    }
    // It is empty, or it is not the one that was made and stays.
    if (created) unlinkat(parent, name->c_str(), AT_REMOVEDIR);
    if (!error.ok()) return error;
  }
  return Error::FromSystem(ESTALE, "mkdir");
}

// Gives the directory the name `to`; `*published` is false if something has that name.
Error PublishDirectory(const Directory& parent, const std::string& from, const std::string& to,
                       bool* published) {
  const int descriptor = DescriptorOf(parent);
  *published = RenameWithoutReplacing(descriptor, from.c_str(), to.c_str()) == 0;
  if (*published || errno == EEXIST) return {};
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP && errno != EPERM) {
    return LastError("rename");
  }
  // No such rename here, as on NFS: the usual one replaces at most an empty directory that is made at this moment.
  FileStatus existing;
  Error error = InspectName(parent, to, &existing);
  if (!error.ok() || existing.kind != FileKind::kAbsent) return error;
  *published = renameat(descriptor, from.c_str(), descriptor, to.c_str()) == 0;
  return *published || errno == EEXIST || errno == ENOTEMPTY ? Error{} : LastError("rename");
}

Error MakeWithMode(const Directory& parent, const std::string& name, uint32_t mode,
                   Directory* directory, bool* created) {
  std::string random;
  Error error = MakeUnderRandomName(DescriptorOf(parent), mode, &random, directory);
  if (!error.ok()) return error;
  error = PublishDirectory(parent, random, name, created);
  if (!*created) unlinkat(DescriptorOf(parent), random.c_str(), AT_REMOVEDIR);
  FileStatus named;
  if (error.ok() && *created) error = InspectName(parent, name, &named);
  // Another process exchanged the names, so that this one is not ours.
  *created = *created && named.identity == directory->identity;
  return error;
}

// With 0777 less the umask, and the caller's own rights if that takes them away.
Error MakeAsUsual(const Directory& parent, const std::string& name, Directory* directory,
                  bool* created) {
  timespec before;
  clock_gettime(CLOCK_REALTIME, &before);
  Error error = MakeAndOpen(DescriptorOf(parent), name, kPermissions, directory, created);
  if (!error.ok() || !*created || (directory->mode & kOwnersBits) == kOwnersBits) return error;
  // File systems count in up to two seconds, by their own clocks.
  constexpr uint64_t kSecond = 1000000000;
  const uint64_t born = BirthTime(directory->handle.get());
  const bool fresh = born == 0 || born / kSecond + 2 >= static_cast<uint64_t>(before.tv_sec);
  if (!fresh || !IsOwnedByUs(*directory)) return Error::FromSystem(ESTALE, "mkdir");
  directory->mode |= kOwnersBits;
  return SetDirectoryMode(*directory, directory->mode);
}

}  // namespace

Error MakeDirectory(const Directory& parent, const std::string& name, std::optional<uint32_t> mode,
                    Directory* directory, bool* created) {
  Error error = mode ? MakeWithMode(parent, name, *mode, directory, created)
                     : MakeAsUsual(parent, name, directory, created);
  if (!error.ok() || *created) return error;
  return OpenChildDirectory(DescriptorOf(parent), name, /*follow_links=*/true, directory);
}

}  // namespace holdfast
