#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <vector>

#include "../leftovers.h"
#include "../temporary_name.h"
#include "posix.h"

namespace holdfast {

namespace {

// How long somebody who is about to rename may take before another name is used: he may be stopped.
constexpr std::chrono::milliseconds kRenameInterval(1);
constexpr int kMaxTries = 20;

bool CannotDoThis(int number) {
  return number == EOPNOTSUPP || number == ENOTSUP || number == EINVAL || number == ENOSYS;
}

int CreateExclusively(int directory, const char* name, uint32_t mode) {
  return RetryOnInterrupt([&] {
    return openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  static_cast<mode_t>(mode));
  });
}

// Shows others that the file is not left behind. Nobody has had the time to lock it before; and where locks do not work
// at all, nobody takes a free one for a sign of death.
void LockAsOwner(NativeHandle file) {
  bool granted = false;
  static_cast<void>(TryLock(file, LockMode::kExclusive, &granted));
}

Error CreateNamed(const Directory& directory, uint32_t mode, TemporaryFile* temporary) {
  Error error = RandomName(kTemporarySuffix, &temporary->name);
  if (!error.ok()) return error;
  Handle file(CreateExclusively(DescriptorOf(directory), temporary->name.c_str(), mode));
  if (!file.valid()) {
    error = LastError("open");
    temporary->name.clear();
    return error;
  }
  LockAsOwner(file.get());
  RemoveLeftovers(directory, file.get());
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

// The owner first, since changing it clears the set-id bits (chown(2)); the mode last, since a list changes it.
Error CopyMetadata(NativeHandle from, const FileStatus& status, NativeHandle to) {
  FileStatus made;
  Error error = InspectFile(to, &made);
  if (error.ok() && (made.owner != status.owner || made.group != status.group)) {
    error = SetOwner(to, status);
  }
  bool all = false;
  if (error.ok()) error = CopyAttributes(from, to, &all);
  if (error.ok()) error = CopyAccessControlList(from, to);
  return error.ok() ? SetMode(to, status.mode) : error;
}

// Takes a file that cannot be linked over into one that has a name.
Error GiveName(const Directory& directory, TemporaryFile* temporary) {
  FileStatus status;
  Error error = InspectFile(temporary->file.get(), &status);
  if (!error.ok()) return error;
  TemporaryFile named;
  named.stays_locked = temporary->stays_locked;
  error = CreateNamed(directory, S_IRUSR | S_IWUSR, &named);
  if (!error.ok()) return error;
  error = CopyContents(temporary->file.get(), named.file.get());
  if (error.ok()) error = CopyMetadata(temporary->file.get(), status, named.file.get());
  // The other one may have been flushed already. Nothing is known here of what was asked for, so all of it is done.
  if (error.ok()) error = Flush(named.file.get(), Durability::kFull);
  if (!error.ok()) {
    DiscardTemporary(directory, &named);
    return error;
  }
  *temporary = std::move(named);
  return {};
}

// Gives an unnamed file the name under which it waits to replace `name`, or else a random one: 0 or the number of what
// failed. It is locked first, so that nobody takes it for left behind.
int LinkBeside(const Directory& directory, TemporaryFile* temporary, const std::string& name) {
  const int file = DescriptorOf(temporary->file.get());
  const auto link_as = [&](const std::string& candidate) {
    if (LinkUnnamedFile(file, DescriptorOf(directory), candidate.c_str()) != 0) return errno;
    temporary->name = candidate;
    return 0;
  };
  LockAsOwner(file);
  const std::string waiting = WaitingName(name);
  int failure = link_as(waiting);
  if (failure != EEXIST) return failure;

  Leftover found = Leftover::kHeld;
  bool left_behind = false;
  for (int tries = 0; failure == EEXIST && found != Leftover::kKept && tries < kMaxTries; tries++) {
    found = RemoveLeftover(directory, waiting, file, /*locked_before_named=*/true);
    left_behind = left_behind || found == Leftover::kRemoved;
    // Somebody else is replacing the file at this very moment, and is between two system calls.
    if (found == Leftover::kHeld) std::this_thread::sleep_for(kRenameInterval);
    failure = link_as(waiting);
  }
  if (failure == EEXIST) {
    std::string random;
    Error error = RandomName(kTemporarySuffix, &random);
    if (!error.ok()) return error.number;
    failure = link_as(random);
    left_behind = true;  // perhaps by somebody who came to this as well
  }
  if (failure == 0 && left_behind) RemoveLeftovers(directory, file);
  return failure;
}

// Gives the file the name `to` unless something has it: 0 or the number of what failed. It is locked first, so that nobody
// takes it for left behind.
int TakeName(const Directory& directory, TemporaryFile* temporary, const std::string& to) {
  const int parent = DescriptorOf(directory);
  const char* const from = temporary->name.c_str();
  if (temporary->name.empty()) {
    const int file = DescriptorOf(temporary->file.get());
    LockAsOwner(file);
    if (LinkUnnamedFile(file, parent, to.c_str()) != 0) return errno;
  } else if (RenameWithoutReplacing(parent, from, to.c_str()) != 0) {
    if (!CannotDoThis(errno) && errno != EPERM) return errno;
    // Where no rename spares what is there, as on NFS, a link does.
    if (linkat(parent, from, parent, to.c_str(), 0) != 0) return errno;
    unlinkat(parent, from, 0);
  }
  temporary->name = to;
  return 0;
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
  // A free lock does not make it look left behind: it is not old enough.
  if (!temporary->stays_locked) static_cast<void>(Unlock(temporary->file.get()));
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
                       const std::string& name, const PublishOptions& /*options*/,
                       Publication* publication) {
  const int parent = DescriptorOf(directory);
  *publication = Publication{};
  if (temporary->name.empty()) {
    // There is no call that links over a name (linkat(2)), so the file gets another one first.
    const int failure = LinkBeside(directory, temporary, name);
    if (failure != 0 && CanLink(failure)) return Error::FromSystem(failure, "link");
    Error error = failure == 0 ? Error{} : GiveName(directory, temporary);
    if (!error.ok()) return error;
  }
  if (RetryOnInterrupt(
          [&] { return renameat(parent, temporary->name.c_str(), parent, name.c_str()); }) != 0) {
    return LastError("rename");
  }
  temporary->name.clear();
  return {};
}

Error ClaimWaitingName(const Directory& directory, TemporaryFile* temporary,
                       const std::string& name, bool* claimed) {
  const std::string waiting = WaitingName(name);
  *claimed = temporary->name == waiting;  // by a try before this one
  for (int tries = 0; !*claimed && tries < kMaxTries; tries++) {
    const int failure = TakeName(directory, temporary, waiting);
    if (failure == 0) {
      *claimed = true;
    } else if (failure == EEXIST) {
      const Leftover found = RemoveLeftover(directory, waiting, temporary->file.get(),
                                            /*locked_before_named=*/true);
      if (found == Leftover::kHeld) std::this_thread::sleep_for(kRenameInterval);
      if (found == Leftover::kKept) break;
    } else if (temporary->name.empty() && !CanLink(failure)) {
      Error error = GiveName(directory, temporary);
      if (!error.ok()) return error;
    } else {
      return Error::FromSystem(failure, "link");
    }
  }
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
