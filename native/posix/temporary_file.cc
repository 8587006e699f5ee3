#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "../checksum.h"
#include "posix.h"

namespace holdfast {

namespace {

bool CannotDoThis(int number) {
  return number == EOPNOTSUPP || number == ENOTSUP || number == EINVAL || number == ENOSYS;
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
  *name = kTemporaryPrefix;
  for (const uint8_t byte : random) {
    name->push_back(kDigits[byte >> 4]);
    name->push_back(kDigits[byte & 15]);
  }
  name->append(kTemporarySuffix);
  return {};
}

Error CreateNamed(const Directory& directory, uint32_t mode, TemporaryFile* temporary) {
  Error error = TemporaryName(&temporary->name);
  if (!error.ok()) return error;
  Handle file(CreateExclusively(DescriptorOf(directory), temporary->name.c_str(), mode));
  if (!file.valid()) {
    error = LastError("open");
    temporary->name.clear();
    return error;
  }
  // Nobody else knows the file yet, so this cannot fail for being busy.
  static_cast<void>(flock(DescriptorOf(file.get()), LOCK_EX | LOCK_NB));
  temporary->file = std::move(file);
  return {};
}

// linkat() for an unnamed file. False when it cannot be done here at all: /proc is not mounted (ENOENT), or a security
// module or a container keeps links from being made (EPERM, EACCES, EXDEV).
bool CanLink(int number) {
  return !CannotDoThis(number) && number != ENOENT && number != EPERM && number != EACCES &&
         number != EXDEV;
}

Error CopyContents(NativeHandle from, NativeHandle to) {
  std::vector<char> buffer(1 << 20);
  for (uint64_t offset = 0;;) {
    size_t size = 0;
    Error error = ReadAt(from, offset, buffer.data(), buffer.size(), &size);
    if (error.ok()) error = WriteAt(to, offset, buffer.data(), size);
    if (!error.ok() || size < buffer.size()) return error;
    offset += size;
  }
}

// Takes a file that cannot be linked over into one that has a name, with its mode and contents.
Error GiveName(const Directory& directory, TemporaryFile* temporary) {
  struct stat status;
  if (fstat(DescriptorOf(temporary->file.get()), &status) != 0) return LastError("fstat");
  TemporaryFile named;
  Error error = CreateNamed(directory, S_IRUSR | S_IWUSR, &named);
  if (!error.ok()) return error;
  error = CopyContents(temporary->file.get(), named.file.get());
  if (error.ok()) error = SetMode(named.file.get(), status.st_mode & 07777U);
  if (!error.ok()) {
    DiscardTemporary(directory, &named);
    return error;
  }
  *temporary = std::move(named);
  return {};
}

// The name under which a file waits to replace `name`. It is always the same, so that what a kill between two system
// calls leaves there is found, and removed, by the next one who replaces the file.
std::string WaitingName(const std::string& name) {
  uint32_t sum = Crc32(name.data(), name.size());
  return kTemporaryPrefix + std::to_string(sum) + kTemporarySuffix;
}

// Removes what a dead process left under `name`; a living one holds the lock.
void Reap(const Directory& directory, const std::string& name) {
  Handle file;
  FileStatus status;
  bool granted = false;
  if (!OpenFile(directory, name, FileAccess::kRead, &file, &status).ok() || !file.valid()) return;
  if (status.kind != FileKind::kRegular || status.owner != static_cast<int64_t>(geteuid())) return;
  if (!TryLock(file.get(), LockMode::kExclusive, &granted).ok() || !granted) return;
  static_cast<void>(RemoveName(directory, name, status.identity));
}

// Gives an unnamed file a name in the directory; locked first, so that nobody takes it for left behind.
Error LinkBeside(const Directory& directory, TemporaryFile* temporary, const std::string& name) {
  const int parent = DescriptorOf(directory);
  const int file = DescriptorOf(temporary->file.get());
  static_cast<void>(flock(file, LOCK_EX | LOCK_NB));
  const auto link_as = [&](const std::string& candidate) {
    if (LinkUnnamedFile(file, parent, candidate.c_str()) != 0) return errno;
    temporary->name = candidate;
    return 0;
  };
  const std::string waiting = WaitingName(name);
  int failure = link_as(waiting);
  if (failure == EEXIST) {
    Reap(directory, waiting);
    failure = link_as(waiting);
  }
  if (failure == EEXIST) {
    // Somebody else is replacing the file at this very moment.
    std::string candidate;
    Error error = TemporaryName(&candidate);
    if (!error.ok()) return error;
    failure = link_as(candidate);
  }
  if (failure == 0) return {};
  if (CanLink(failure)) return Error::FromSystem(failure, "link");
  return GiveName(directory, temporary);
}

}  // namespace

Error CreateTemporary(const Directory& directory, uint32_t mode, TemporaryFile* temporary) {
  *temporary = TemporaryFile{};
  temporary->file.Reset(OpenUnnamedFile(DescriptorOf(directory), mode));
  if (temporary->file.valid()) return {};
  // EISDIR comes from kernels that do not know O_TMPFILE, ENOENT from file systems that answer so for it.
  if (!CannotDoThis(errno) && errno != EISDIR && errno != ENOENT) return LastError("open");
  return CreateNamed(directory, mode, temporary);
}

Error PublishNew(const Directory& directory, TemporaryFile* temporary, const std::string& name,
                 bool* published) {
  const int parent = DescriptorOf(directory);
  *published = false;
  if (temporary->name.empty()) {
    if (LinkUnnamedFile(DescriptorOf(temporary->file.get()), parent, name.c_str()) == 0) {
      *published = true;
      return {};
    }
    if (errno == EEXIST) return {};
    if (CanLink(errno)) return LastError("link");
    Error error = GiveName(directory, temporary);
    if (!error.ok()) return error;
  }
  // From here on the file is everybody's to lock. It cannot be taken for left behind: it is not old enough.
  static_cast<void>(flock(DescriptorOf(temporary->file.get()), LOCK_UN));
  if (RenameWithoutReplacing(parent, temporary->name.c_str(), name.c_str()) == 0) {
    temporary->name.clear();
    *published = true;
    return {};
  }
  if (errno == EEXIST) return {};
  // EPERM comes from seccomp filters that do not know the call.
  return Error::FromSystem(CannotDoThis(errno) || errno == EPERM ? ENOTSUP : errno, "rename");
}

Error PublishReplacing(const Directory& directory, TemporaryFile* temporary,
                       const std::string& name, bool /*keep_streams*/, Publication* publication) {
  const int parent = DescriptorOf(directory);
  *publication = Publication{};
  if (temporary->name.empty()) {
    // There is no call that links over a name (linkat(2)), so the file gets another one first.
    Error error = LinkBeside(directory, temporary, name);
    if (!error.ok()) return error;
  }
  if (RetryOnInterrupt(
          [&] { return renameat(parent, temporary->name.c_str(), parent, name.c_str()); }) != 0) {
    return LastError("rename");
  }
  temporary->name.clear();
  return {};
}

void DiscardTemporary(const Directory& directory, TemporaryFile* temporary) {
  if (!temporary->name.empty()) {
    unlinkat(DescriptorOf(directory), temporary->name.c_str(), 0);
    temporary->name.clear();
  }
  temporary->file.Reset();
}

Error CreateEmpty(const Directory& directory, const std::string& name, uint32_t mode,
                  bool* created) {
  Handle file(CreateExclusively(DescriptorOf(directory), name.c_str(), mode));
  *created = file.valid();
  if (!file.valid()) return errno == EEXIST ? Error{} : LastError("open");
  return SetMode(file.get(), mode);
}

}  // namespace holdfast
