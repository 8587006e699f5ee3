// A lock file: how it comes into being, is opened and checked, and what is written in it.
#ifndef HOLDFAST_LOCK_FILE_H_
#define HOLDFAST_LOCK_FILE_H_

#include <cstdint>
#include <string>

#include "error.h"
#include "platform.h"
#include "record.h"

namespace holdfast {

struct LockRequest {
  // Absolute path of what is to be protected; its last component is a name, not "." or "..". A link is refused.
  std::string target;
  // Absolute path of the lock file, or empty: ".{name}.lock" beside the target.
  std::string lock_path;
  LockMode mode = LockMode::kExclusive;
  ParentPolicy parents = ParentPolicy::kTrust;
  // Absolute path of the directory that the target's must be beneath, or empty.
  std::string within;
  bool trust_any_owner = false;
  uint32_t file_mode = kPrivateMode;
};

// Where a lock file is: its directory, opened once, and its name in it.
struct LockLocation {
  Directory directory;
  std::string name;
  std::string path;
};

// An open lock file that passed every check that can be made before its lock is held. Without a handle, one that could not be
// opened yet: IsLeased().
struct LockFile {
  LockLocation location;
  Handle file;
  FileIdentity identity;
  LockMode mode = LockMode::kExclusive;
  FileSystemClass file_system = FileSystemClass::kUnknown;
  // The epoch that the record named, where that tells which lock is the current one.
  LockSlot slot = 0;
  // As they were asked for, for the file beside this one that guards its record.
  uint32_t file_mode = kPrivateMode;
  bool trust_any_owner = false;
  // What the record said when the lock was found taken.
  DecodedRecord found;
};

// Opens the file `name`, making it if there is none, and checks it on the open handle. One that is made gets the mode of
// the request, or, as the guard of the lock file `model`, is for those who may use that one.
Error OpenOrCreate(const LockRequest& request, const Directory& directory, const std::string& name,
                   Handle* file, FileIdentity* identity, NativeHandle model = kNoHandle);

// Sets who may use a lock file or guard that was just made: as `mode` says, or as it is for the lock file `model`, if that
// one is not such as a stranger could have planted. Nothing is taken over from a file that could be.
Error SetLockFileAccess(const Directory& directory, NativeHandle model, uint32_t mode,
                        NativeHandle file);

// Reads the record of a file of `file_size` bytes, under its lock.
Error ReadRecord(NativeHandle file, uint64_t file_size, DecodedRecord* record);
Error WriteRecord(NativeHandle file, const Record& record);

// What the lock file says of its holder, read without the lock.
Error ReadHolder(NativeHandle file, DecodedRecord* record);

// The handle to look at the lock file by. On a remote file system it is a new one, which `*fresh` keeps open, unless the name
// leads to no file any more.
Error HandleForLooking(const LockFile& lock_file, Handle* fresh, NativeHandle* file);

// What is left of a record when nobody holds the lock.
Record WithoutHolder(const Record& record);

// Whether the name still leads to the file, and the lock that is meant is still the current one.
Error IsInPlace(const LockFile& lock_file, bool* in_place);

}  // namespace holdfast

#endif  // HOLDFAST_LOCK_FILE_H_
