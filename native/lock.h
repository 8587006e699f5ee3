// The steps of taking and leaving a lock, free of threads and of JavaScript. They are steps because a wait comes
// between them: locate, open, try, (wait,) enter, leave.
#ifndef HOLDFAST_LOCK_H_
#define HOLDFAST_LOCK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
  bool trust_any_owner = false;
  uint32_t file_mode = 0600;
};

// Where a lock file is: its directory, opened once, and its name in it.
struct LockLocation {
  Directory directory;
  std::string name;
  std::string path;
};

// What tells one lock file from another before it is opened, and while it is removed and made again.
std::string KeyOf(const LockLocation& location);

// An open lock file that passed every check that can be made before its lock is held.
struct LockFile {
  LockLocation location;
  Handle file;
  FileIdentity identity;
  LockMode mode = LockMode::kExclusive;
  FileSystemClass file_system = FileSystemClass::kUnknown;
  // As they were asked for, for the file beside this one that guards its record.
  uint32_t file_mode = 0600;
  bool trust_any_owner = false;
  // What the record said when the lock was found taken.
  DecodedRecord found;
};

// A lock that is ours.
struct HeldLock {
  LockFile file;
  // What release leaves in the record. A shared holder writes none.
  uint64_t token = 0;
  uint64_t ttl = 0;
  uint64_t epoch = 0;
  // The record as it was found. It names a holder only if that one ended without release and nobody was told yet.
  DecodedRecord previous;
};

// The directories that `request` leads through, as they are spelled: what has to be touched first.
std::vector<std::string> DirectoriesOf(const LockRequest& request);

// Finds the lock file's place and applies the policy for links.
Error Locate(const LockRequest& request, LockLocation* location);

// Opens the lock file, making it if there is none, and checks it on the open handle. `location` is moved from only on
// success.
Error OpenChecked(const LockRequest& request, LockLocation* location, LockFile* lock_file);

// The checks of OpenChecked() on an open file.
Error CheckOpenFile(const LockRequest& request, const Directory& directory,
                    const FileStatus& status);

// Completes a granted lock: the name must still lead to the locked file, whose record then names `claim` as the holder.
// `claim` brings the holder's fields and is given the token. `*stale` tells that the name leads elsewhere by now: the
// caller closes the file and starts again. On an error the caller closes the file, too.
Error Enter(const LockFile& lock_file, Record* claim, DecodedRecord* previous, bool* stale);

// Clears the record and gives the lock back; the first error wins. Whatever it is, the caller closes the file, so that
// nothing of the lock remains with us.
Error Leave(const HeldLock& lock);

// Gives a lock back that was not entered. Closing alone would not do: see Leave().
void GiveBack(LockFile file);

// Gives a lock back that was entered and that nobody was told of. The predecessor that it found, if any, is then the next
// holder's to find.
Error GiveBackUntold(const HeldLock& lock);

// Clears the record without unlocking: a process that inherited the descriptor holds the lock on when the file is closed.
Error LeaveToHeirs(const HeldLock& lock);

// Whether the name still leads to the file that is locked.
Error IsInPlace(const LockFile& lock_file, bool* in_place);

// What the lock file says of its holder, read without the lock.
Error ReadHolder(NativeHandle file, DecodedRecord* record);

}  // namespace holdfast

#endif  // HOLDFAST_LOCK_H_
