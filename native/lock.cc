#include "lock.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "path.h"

namespace holdfast {

namespace {

constexpr int kMaxOpenRounds = 100;
constexpr int kMaxReads = 3;
constexpr char kGuardSuffix[] = ".guard";

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
Error RefuseLink(const std::string& target, ParentPolicy parents, const Directory* beside) {
  Directory parent;
  if (beside == nullptr) {
    Error error = OpenDirectory(ParentOf(target), parents, &parent);
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

// Brings a lock file into being so that a kill at any moment leaves either nothing or a usable one, and nobody sees it
// half made. Where the file system has no way for that, it is created in its place and stays empty, which is a valid
// lock file; a kill before its mode is set, under a umask that takes away the owner's own bits, would leave one that its
// owner cannot open. That the name exists by now is no error: the caller opens what is there.
Error CreateLockFile(const Directory& directory, const std::string& name, uint32_t mode,
                     const RecordBlock& block) {
  TemporaryFile temporary;
  Error error = CreateTemporary(directory, 0600, &temporary);
  if (!error.ok()) return error;
  error = WriteAt(temporary.file.get(), 0, block.data(), block.size());
  if (error.ok()) error = SetMode(temporary.file.get(), mode);
  bool published = false;
  if (error.ok()) error = PublishNew(directory, &temporary, name, &published);
  if (!published) DiscardTemporary(directory, &temporary);
  if (error.number != ENOTSUP) return error;
  bool created = false;
  return CreateEmpty(directory, name, mode, &created);
}

Error OpenOrCreate(const LockRequest& request, const Directory& directory, const std::string& name,
                   Handle* file, FileIdentity* identity) {
  for (int round = 0; round < kMaxOpenRounds; round++) {
    FileStatus status;
    Error error = OpenLockFile(directory, name, file, &status);
    if (!error.ok()) return error;
    if (file->valid()) {
      if (status.link_count == 0) {  // removed since it was opened
        file->Reset();
        continue;
      }
      *identity = status.identity;
      return CheckOpenFile(request, directory, status);
    }
    // Room for the record, but none yet: the first token must be as late as the first grant. One from now could come
    // after that of another lock file, which had this name and lost it before ours gets it.
    const RecordBlock block{};
    error = CreateLockFile(directory, name, request.file_mode, block);
    if (!error.ok()) return error;
  }
  return Error::FromSystem(ESTALE, "open");
}

Error ReadRecord(NativeHandle file, uint64_t file_size, DecodedRecord* record) {
  RecordBlock block;
  size_t size = 0;
  Error error = ReadAt(file, 0, block.data(), block.size(), &size);
  if (!error.ok()) return error;
  *record = DecodeRecord(block.data(), size, std::max<uint64_t>(file_size, size));
  return {};
}

Error WriteRecord(NativeHandle file, const Record& record) {
  RecordBlock block;
  EncodeRecord(record, &block);
  return WriteAt(file, 0, block.data(), block.size());
}

// Shared holders come in together, yet a predecessor's end is told to one of them: whoever gets a second lock without
// waiting and still finds the record full clears it. That this may fail is no reason to refuse the lock: the record then
// stays for the next holder to find.
Error ClearPrevious(const LockFile& lock_file, DecodedRecord* found) {
  const LockLocation& location = lock_file.location;
  LockRequest request;
  request.file_mode = lock_file.file_mode;
  request.trust_any_owner = lock_file.trust_any_owner;
  Handle guard;
  FileIdentity identity;
  Error error =
      OpenOrCreate(request, location.directory, location.name + kGuardSuffix, &guard, &identity);
  if (!error.ok()) return error;
  bool granted = false;
  error = TryLock(guard.get(), LockMode::kExclusive, &granted);
  if (!error.ok() || !granted) return error;
  error = ReadRecord(lock_file.file.get(), 0, found);
  if (!error.ok() || !found->record.has_holder()) return error;
  Record cleared;
  cleared.token = found->record.token;
  cleared.ttl = found->record.ttl;
  cleared.epoch = found->record.epoch;
  return WriteRecord(lock_file.file.get(), cleared);
}

Error ClearRecord(const HeldLock& lock) {
  // A shared holder has written none.
  if (lock.file.mode == LockMode::kShared) return {};
  Record cleared;
  cleared.token = lock.token;
  cleared.ttl = lock.ttl;
  cleared.epoch = lock.epoch;
  return WriteRecord(lock.file.file.get(), cleared);
}

}  // namespace

Error CheckOpenFile(const LockRequest& request, const Directory& directory,
                    const FileStatus& status) {
  if (status.kind != FileKind::kRegular) {
    return Error::Refused(Refusal::kNotRegular, EINVAL, "open");
  }
  if (status.link_count > 1) return Error::Refused(Refusal::kHardLink, EMLINK, "open");
  if (directory.others_can_write && !request.trust_any_owner &&
      !IsTrustedOwner(status.owner, directory.owner)) {
    return Error::Refused(Refusal::kForeignOwner, EPERM, "open", {}, status.owner);
  }
  return {};
}

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

Error Locate(const LockRequest& request, LockLocation* location) {
  const bool beside = request.lock_path.empty();
  const std::string& place = beside ? request.target : request.lock_path;
  const std::string directory = ParentOf(place);
  Error error = OpenDirectory(directory, request.parents, &location->directory);
  if (!error.ok()) return WithPath(error, directory);
  error = RefuseLink(request.target, request.parents, beside ? &location->directory : nullptr);
  if (!error.ok()) return error;
  location->name = beside ? '.' + NameOf(request.target) + ".lock" : NameOf(place);
  location->path = beside ? Join(directory, location->name) : place;
  return {};
}

Error OpenChecked(const LockRequest& request, LockLocation* location, LockFile* lock_file) {
  Error error = OpenOrCreate(request, location->directory, location->name, &lock_file->file,
                             &lock_file->identity);
  if (!error.ok()) return WithPath(error, location->path);
  lock_file->mode = request.mode;
  lock_file->file_mode = request.file_mode;
  lock_file->trust_any_owner = request.trust_any_owner;
  lock_file->location = std::move(*location);
  return {};
}

Error Enter(const LockFile& lock_file, Record* claim, DecodedRecord* previous, bool* stale) {
  const LockLocation& location = lock_file.location;
  const NativeHandle file = lock_file.file.get();
  FileStatus status;
  Error error = InspectName(location.directory, location.name, &status);
  if (!error.ok()) return WithPath(error, location.path);
  *stale = status.kind == FileKind::kAbsent || status.identity != lock_file.identity;
  if (*stale) return {};
  if (status.link_count > 1) {
    return Error::Refused(Refusal::kHardLink, EMLINK, "lstat", location.path);
  }
  error = ReadRecord(file, status.size, previous);
  if (!error.ok()) return WithPath(error, location.path);
  if (previous->state == RecordState::kForeign) {
    return Error::Refused(Refusal::kForeignContent, EINVAL, "read", location.path);
  }
  if (lock_file.mode == LockMode::kShared) {
    claim->token = 0;  // a fencing token comes with exclusive grants only
    if (!previous->record.has_holder()) return {};
    DecodedRecord told;
    if (!ClearPrevious(lock_file, &told).ok()) told = DecodedRecord{};
    *previous = std::move(told);
    return {};
  }
  claim->token = NextToken(*previous);
  claim->epoch = previous->record.epoch;
  claim->acquired_at = NowInMilliseconds();
  error = WriteRecord(file, *claim);
  if (error.ok() && status.size > kRecordSize) error = Truncate(file, kRecordSize);
  return WithPath(error, location.path);
}

Error Leave(const HeldLock& lock) {
  Error first = ClearRecord(lock);
  // Closing alone would not do: a child process between fork() and exec() has the descriptor, too.
  Error error = Unlock(lock.file.file.get());
  if (first.ok()) first = std::move(error);
  return WithPath(first, lock.file.location.path);
}

void GiveBack(LockFile file) {
  if (file.file.valid()) static_cast<void>(Unlock(file.file.get()));
}

Error GiveBackUntold(const HeldLock& lock) {
  if (!lock.previous.record.has_holder()) return Leave(lock);
  Record untold = lock.previous.record;
  if (lock.file.mode == LockMode::kExclusive) untold.token = lock.token;
  Error first = WriteRecord(lock.file.file.get(), untold);
  Error error = Unlock(lock.file.file.get());
  return first.ok() ? error : first;
}

Error LeaveToHeirs(const HeldLock& lock) {
  return WithPath(ClearRecord(lock), lock.file.location.path);
}

Error IsInPlace(const LockFile& lock_file, bool* in_place) {
  FileStatus status;
  Error error = InspectName(lock_file.location.directory, lock_file.location.name, &status);
  *in_place = status.kind != FileKind::kAbsent && status.identity == lock_file.identity;
  return WithPath(error, lock_file.location.path);
}

Error ReadHolder(NativeHandle file, DecodedRecord* record) {
  // The holder may be writing: what is torn at the first read is whole at the next.
  for (int reads = 0; reads < kMaxReads; reads++) {
    // One byte more than a record has, so that a longer file shows.
    std::array<char, kRecordSize + 1> start;
    size_t size = 0;
    Error error = ReadAt(file, 0, start.data(), start.size(), &size);
    if (!error.ok()) return error;
    *record = DecodeRecord(start.data(), size, size);
    if (record->state != RecordState::kMalformed) return {};
  }
  return {};
}

}  // namespace holdfast
