#include "lock.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "path.h"
#include "target_directory.h"

namespace holdfast {

namespace {

// A holder that releases is not kept waiting for one who is stopped in the middle of a take-over.
constexpr Patience kBriefly = {std::chrono::milliseconds(50), nullptr};

uint64_t Now(uint64_t ticks_per_second) {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(since_1970);
  return static_cast<uint64_t>(microseconds.count()) / (1000000 / ticks_per_second);
}

uint64_t NowInMilliseconds() { return Now(1000); }

// A lock file without a token starts here, so that neither its removal nor a loss of power steps back.
uint64_t FirstToken() { return Now(1000000); }

uint64_t NextToken(const DecodedRecord& previous) {
  const uint64_t token = previous.record.token;
  if (previous.state != RecordState::kValid || token >= kMaxRecordNumber) return FirstToken();
  return token + 1;
}

// The parent of a target whose lock file lies elsewhere is opened for this check alone.
Error RefuseLink(const LockRequest& request, const Directory* beside) {
  const std::string& target = request.target;
  Directory parent;
  if (beside == nullptr) {
    Error error = OpenOnTheWay(request, ParentOf(target), &parent);
    if (!error.ok()) return WithPath(error, ParentOf(target));
    beside = &parent;
  }
  FileStatus status;
  Error error = InspectName(*beside, NameOf(target), &status);
  if (error.ok() && status.kind == FileKind::kLink) {
    error = Error::Refused(Refusal::kLink, ELOOP, "lstat");
  }
  return WithPath(error, target);
}

// What the name and the record say, under the kernel's lock.
Error Look(const LockFile& lock_file, FileStatus* status, DecodedRecord* found, bool* moved) {
  const LockLocation& location = lock_file.location;
  Error error = InspectName(location.directory, location.name, status);
  if (!error.ok()) return WithPath(error, location.path);
  *moved = status->kind == FileKind::kAbsent || status->identity != lock_file.identity;
  if (*moved) return {};
  if (status->link_count > 1) {
    return Error::Refused(Refusal::kHardLink, EMLINK, "lstat", location.path, status->owner);
  }
  error = ReadRecord(lock_file.file.get(), status->size, found);
  if (!error.ok()) return WithPath(error, location.path);
  if (found->state == RecordState::kForeign) {
    return Error::Refused(Refusal::kForeignContent, EINVAL, "read", location.path);
  }
  *moved = kLockFilesHaveSlots && found->record.epoch != lock_file.slot;
  return {};
}

// Whether somebody may be about to take the lock over: from a holder with a ttl, who may have released it since. A record
// that cannot be read may have been such a one.
bool NeedsGuard(const DecodedRecord& found) {
  return found.record.ttl != 0 || found.state == RecordState::kMalformed;
}

// Shared holders come in together, yet a predecessor's end is told to one of them: whoever gets the guard without waiting
// and still finds the record full clears it. That this may fail is no reason to refuse the lock: the record then stays for
// the next holder to find.
Error ClearPrevious(const LockFile& lock_file, DecodedRecord* found) {
  Guard guard;
  bool guarded = false;
  Error error = guard.Enter(lock_file, Patience::None(), &guarded);
  if (!error.ok() || !guarded) return error;
  error = ReadRecord(lock_file.file.get(), 0, found);
  if (!error.ok() || !found->record.has_holder()) return error;
  return WriteRecord(lock_file.file.get(), WithoutHolder(found->record));
}

// A shared holder writes no record of its own.
Error EnterShared(const LockFile& lock_file, bool guarded, DecodedRecord* previous) {
  if (guarded && previous->record.ttl != 0) {
    // What stays in the record must not make anybody take a shared holder for one with a ttl that hangs.
    Record without_ttl = WithoutHolder(previous->record);
    without_ttl.ttl = 0;
    return WriteRecord(lock_file.file.get(), without_ttl);
  }
  if (!previous->record.has_holder()) return {};
  DecodedRecord told;
  if (!ClearPrevious(lock_file, &told).ok()) told = DecodedRecord{};
  const uint64_t token = previous->record.token;
  *previous = std::move(told);
  previous->record.token = token;
  return {};
}

// Writes as the holder, unless another one has the lock by now. Where a lock is taken over in its file, that one reads the
// same record.
Error WriteAsHolder(const HeldLock& lock, const Record& record) {
  if (!kLockFilesHaveSlots || lock.ttl == 0) return WriteRecord(lock.file.file.get(), record);
  Guard guard;
  bool entered = false;
  Error error = guard.Enter(lock.file, kBriefly, &entered);
  if (!error.ok() || !entered) return error;
  bool ours = false;
  error = IsStillOurs(lock, &ours);
  return error.ok() && ours ? WriteRecord(lock.file.file.get(), record) : error;
}

Error ClearRecord(const HeldLock& lock) {
  // A shared holder has written none.
  if (lock.file.mode == LockMode::kShared) return {};
  Record cleared;
  cleared.token = lock.token;
  cleared.ttl = lock.ttl;
  cleared.epoch = lock.epoch;
  cleared.directory = lock.recorded_directory;
  return WriteAsHolder(lock, cleared);
}

}  // namespace

std::string KeyOf(const LockLocation& location) {
  const FileIdentity& directory = location.directory.identity;
  return std::to_string(directory.device) + ':' + std::to_string(directory.inode_high) + ':' +
         std::to_string(directory.inode) + ':' + CanonicalName(location.name);
}

std::vector<std::string> DirectoriesOf(const LockRequest& request) {
  std::vector<std::string> directories = {ParentOf(request.target)};
  if (!request.lock_path.empty()) directories.push_back(ParentOf(request.lock_path));
  return directories;
}

Error OpenOnTheWay(const LockRequest& request, const std::string& directory, Directory* opened) {
  if (request.within.empty() || directory != ParentOf(request.target)) {
    return OpenDirectory(directory, request.parents, opened);
  }
  TargetDirectoryRequest inside;
  inside.within = request.within;
  inside.parents = request.parents;
  return OpenTargetDirectory(inside, directory, opened);
}

Error Locate(const LockRequest& request, LockLocation* location) {
  const bool beside = request.lock_path.empty();
  const std::string& place = beside ? request.target : request.lock_path;
  const std::string directory = ParentOf(place);
  Error error = OpenOnTheWay(request, directory, &location->directory);
  if (!error.ok()) return WithPath(error, directory);
  error = RefuseLink(request, beside ? &location->directory : nullptr);
  if (!error.ok()) return error;
  location->name = beside ? '.' + NameOf(request.target) + ".lock" : NameOf(place);
  location->path = beside ? Join(directory, location->name) : place;
  return {};
}

Error OpenChecked(const LockRequest& request, LockLocation* location, LockFile* lock_file) {
  Error error = OpenOrCreate(request, location->directory, location->name, &lock_file->file,
                             &lock_file->identity);
  if (error.ok() && kLockFilesHaveSlots) {
    DecodedRecord record;
    error = ReadHolder(lock_file->file.get(), &record);
    lock_file->slot = record.record.epoch;
  }
  if (!error.ok()) return WithPath(error, location->path);
  lock_file->mode = request.mode;
  lock_file->file_mode = request.file_mode;
  lock_file->trust_any_owner = request.trust_any_owner;
  lock_file->location = std::move(*location);
  return {};
}

void Succeed(const DecodedRecord& previous, Record* claim) {
  claim->token = NextToken(previous);
  claim->epoch = previous.record.epoch;
  claim->directory = previous.record.directory;
  claim->acquired_at = NowInMilliseconds();
}

Error Enter(const LockFile& lock_file, const Patience& patience, Record* claim,
            DecodedRecord* previous, Entry* entry) {
  *entry = Entry::kMoved;
  FileStatus status;
  bool moved = false;
  Error error = Look(lock_file, &status, previous, &moved);
  if (!error.ok() || moved) return error;
  Guard guard;
  bool guarded = false;
  if (NeedsGuard(*previous)) {
    error = guard.Enter(lock_file, patience, &guarded);
    if (error.ok() && !guarded) *entry = Entry::kGuarded;
    if (!error.ok() || !guarded) return WithPath(error, lock_file.location.path);
    error = Look(lock_file, &status, previous, &moved);
    if (!error.ok() || moved) return error;
  }
  *entry = Entry::kEntered;
  claim->epoch = previous->record.epoch;
  const NativeHandle file = lock_file.file.get();
  if (lock_file.mode == LockMode::kShared) {
    claim->token = 0;  // a fencing token comes with exclusive grants only
    return WithPath(EnterShared(lock_file, guarded, previous), lock_file.location.path);
  }
  Succeed(*previous, claim);
  error = WriteRecord(file, *claim);
  if (error.ok() && status.size > kRecordSize) error = Truncate(file, kRecordSize);
  return WithPath(error, lock_file.location.path);
}

Error Leave(const HeldLock& lock) {
  Error first = ClearRecord(lock);
  // Closing alone would not do: a child process between fork() and exec() has the descriptor, too.
  Error error = Unlock(lock.file.file.get(), lock.file.slot);
  if (first.ok()) first = std::move(error);
  return WithPath(first, lock.file.location.path);
}

void GiveBack(LockFile file) {
  if (file.file.valid()) static_cast<void>(Unlock(file.file.get(), file.slot));
}

Error GiveBackUntold(const HeldLock& lock) {
  if (!lock.previous.record.has_holder()) return Leave(lock);
  Record untold = lock.previous.record;
  untold.epoch = lock.epoch;
  // As a release of ours would leave it: the one before is no holder that could hang.
  untold.ttl = lock.ttl;
  if (lock.file.mode == LockMode::kExclusive) untold.token = lock.token;
  Error first = WriteAsHolder(lock, untold);
  Error error = Unlock(lock.file.file.get(), lock.file.slot);
  return first.ok() ? error : first;
}

Error LeaveToHeirs(const HeldLock& lock) {
  return WithPath(ClearRecord(lock), lock.file.location.path);
}

Error IsStillOurs(const HeldLock& lock, bool* ours) {
  Error error = IsInPlace(lock.file, ours);
  // An epoch may come again after a record was damaged; a token does not. And another machine may have given the lock to others
  // without a word to us, after it was out of reach or started anew: those have written a later token.
  const bool taken_unseen =
      lock.file.file_system != FileSystemClass::kLocal || (kLockFilesHaveSlots && lock.ttl != 0);
  if (!error.ok() || !*ours || !taken_unseen) return error;
  Handle fresh;
  NativeHandle file = kNoHandle;
  DecodedRecord record;
  error = HandleForLooking(lock.file, &fresh, &file);
  if (error.ok()) error = ReadHolder(file, &record);
  const bool is_shared = lock.file.mode == LockMode::kShared;
  *ours = record.record.token == (is_shared ? lock.previous.record.token : lock.token);
  return WithPath(error, lock.file.location.path);
}

Error RecordDirectory(HeldLock* lock, const std::string& directory) {
  if (lock->recorded_directory == directory) return {};
  const NativeHandle file = lock->file.file.get();
  DecodedRecord current;
  Error error = ReadRecord(file, kRecordSize, &current);
  current.record.directory = directory;
  if (error.ok()) error = WriteRecord(file, current.record);
  if (error.ok()) lock->recorded_directory = directory;
  return WithPath(error, lock->file.location.path);
}

Error ShowLife(const HeldLock& lock, bool* ours) {
  // One that was robbed must not show life for its successor. Not under the guard: who is slow there would make a punctual
  // holder look silent.
  Error error = IsStillOurs(lock, ours);
  if (!error.ok() || !*ours) return error;
  FileStatus status;
  error = InspectFile(lock.file.file.get(), &status);
  if (error.ok()) error = StampModified(lock.file.file.get(), status.modified);
  return WithPath(error, lock.file.location.path);
}

Error ShowLateLife(const HeldLock& lock, const Patience& patience, bool* ours, bool* entered) {
  *ours = true;
  Guard guard;
  Error error = guard.Enter(lock.file, patience, entered);
  if (!error.ok() || !*entered) return WithPath(error, lock.file.location.path);
  return ShowLife(lock, ours);
}

}  // namespace holdfast
