// Brings a lock file into being so that a kill at any moment leaves either nothing or a usable one. Three ways, each
// for the file systems that lack the one before:
//   1. a file without a name, completed, then linked in (a kill leaves nothing);
//   2. a random name, completed, then renamed in (a kill may leave the random name);
//   3. the final name at once. It stays empty, which is a valid lock file. A kill between open() and fchmod(), under a
//      umask that takes away the owner's own bits, would leave one that its owner cannot open.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix.h"

namespace holdfast {

namespace {

bool CannotDoThis(int number) {
  return number == EOPNOTSUPP || number == ENOTSUP || number == EINVAL || number == ENOSYS;
}

Error Complete(int file, uint32_t mode, const char* contents, size_t size) {
  if (RetryOnInterrupt([&] { return fchmod(file, static_cast<mode_t>(mode)); }) != 0) {
    return LastError("fchmod");
  }
  return WriteStart(file, contents, size);
}

int CreateExclusively(int directory, const char* name, uint32_t mode) {
  return RetryOnInterrupt([&] {
    return openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  static_cast<mode_t>(mode));
  });
}

Error TemporaryName(std::string* name) {
  uint8_t random[16];
  Error error = RandomBytes(random, sizeof(random));
  if (!error.ok()) return error;
  static constexpr char kDigits[] = "0123456789abcdef";
  *name = ".holdfast-";
  for (const uint8_t byte : random) {
    name->push_back(kDigits[byte >> 4]);
    name->push_back(kDigits[byte & 15]);
  }
  name->append(".tmp");
  return {};
}

// `*possible` tells whether this way can be gone here at all; when it is false, `error` means nothing.
Error CreateUnnamed(int directory, const std::string& name, uint32_t mode, const char* contents,
                    size_t size, bool* possible) {
  Handle file(OpenUnnamedFile(directory));
  // EISDIR comes from kernels that do not know O_TMPFILE, ENOENT from file systems that answer so for it.
  if (!file.valid()) {
    *possible = !CannotDoThis(errno) && errno != EISDIR && errno != ENOENT;
    return LastError("open");
  }
  const int descriptor = DescriptorOf(file.get());
  Error error = Complete(descriptor, mode, contents, size);
  if (!error.ok()) return error;
  if (LinkUnnamedFile(descriptor, directory, name.c_str()) == 0 || errno == EEXIST) return {};
  // ENOENT: /proc is not mounted. EPERM, EACCES, EXDEV: a security module or container keeps links from being made.
  *possible = !CannotDoThis(errno) && errno != ENOENT && errno != EPERM && errno != EACCES &&
              errno != EXDEV;
  return LastError("link");
}

Error CreateByRename(int directory, const std::string& name, uint32_t mode, const char* contents,
                     size_t size, bool* possible) {
  std::string temporary;
  Error error = TemporaryName(&temporary);
  if (!error.ok()) return error;
  Handle file(CreateExclusively(directory, temporary.c_str(), mode));
  if (!file.valid()) return LastError("open");
  const int descriptor = DescriptorOf(file.get());
  // A temporary file is locked before it holds a byte: one whose lock is free belongs to nobody.
  flock(descriptor, LOCK_EX | LOCK_NB);
  error = Complete(descriptor, mode, contents, size);
  if (error.ok()) {
    if (RenameWithoutReplacing(directory, temporary.c_str(), name.c_str()) == 0) return {};
    if (errno != EEXIST) {
      *possible = !CannotDoThis(errno);
      error = LastError("rename");
    }
  }
  unlinkat(directory, temporary.c_str(), 0);
  return error;
}

Error CreateInPlace(int directory, const std::string& name, uint32_t mode) {
  Handle file(CreateExclusively(directory, name.c_str(), mode));
  if (!file.valid()) return errno == EEXIST ? Error{} : LastError("open");
  if (fchmod(DescriptorOf(file.get()), static_cast<mode_t>(mode)) != 0) return LastError("fchmod");
  return {};
}

}  // namespace

Error CreateLockFile(const Directory& directory, const std::string& name, uint32_t mode,
                     const char* contents, size_t size) {
  const int descriptor = DescriptorOf(directory);
  bool possible = true;
  Error error = CreateUnnamed(descriptor, name, mode, contents, size, &possible);
  if (possible) return error;
  possible = true;
  error = CreateByRename(descriptor, name, mode, contents, size, &possible);
  if (possible) return error;
  return CreateInPlace(descriptor, name, mode);
}

}  // namespace holdfast
