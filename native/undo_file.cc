#include "undo_file.h"

#include <cerrno>

#include "bounds.h"
#include "leftovers.h"
#include "owner_rule.h"
#include "path.h"
#include "sha256.h"

namespace holdfast {

namespace {

constexpr char kUndoSuffix[] = ".undo";
// Its own name, and that of its target's number.
constexpr uint64_t kMostUndoNames = 2;

// A sparse file claims any size at no cost. What was compressed is not that small.
constexpr uint64_t kUnsuspiciousSize = 64 * 1024 * 1024;
constexpr uint64_t kMostPerAllocated = 1024;

constexpr uint64_t kNanosecondsPerSecond = 1000000000;
// 2037-01-01: no program that writes a file gives it this time, none that removes old files takes it for one, and every file
// system can keep it.
constexpr uint64_t kSealSeconds = 2114380800;
constexpr uint64_t kSealMask = 0x7FFFFF;
// FAT counts in two seconds.
constexpr uint64_t kSealTick = 2;

uint64_t SealOf(const UndoHeader& header) {
  return (kSealSeconds + (header.sum & kSealMask) * kSealTick) * kNanosecondsPerSecond;
}

std::string UndoNameOfDigits(const std::string& digits) {
  return kTemporaryPrefix + digits + kUndoSuffix;
}

std::string UndoNameFor(const std::string& text) {
  return UndoNameOfDigits(Sha256Hex(text).substr(0, kUndoNameDigits));
}

// The name that it was made with, which its target may not have any more.
std::string FirstNameOf(const UndoHeader& header) {
  return UndoNameOfDigits(std::string(header.name, sizeof(header.name)));
}

Error At(const UndoPlace& place, const std::string& name, Error error) {
  return WithPath(std::move(error), Join(place.path, name));
}

Error Busy(const UndoPlace& place, const std::string& name) {
  Error error = Error::FromSystem(EBUSY, "open", Join(place.path, name));
  error.transient = true;
  return error;
}

Error NotAnUndoFile(const UndoPlace& place, const std::string& name, int64_t owner) {
  return Error::Refused(Refusal::kObstacle, EINVAL, "open", Join(place.path, name), owner);
}

bool IsOurs(int64_t owner) { return IsTrustedOwner(owner, -1); }

// A link, a directory or a device.
Error RemoveWrongKind(const UndoPlace& place, const std::string& name) {
  FileStatus status;
  Error error = InspectName(*place.directory, name, &status);
  if (!error.ok() || status.kind == FileKind::kAbsent) return At(place, name, std::move(error));
  if (RemoveObstacle(*place.directory, name, status)) return {};
  return NotAnUndoFile(place, name, status.owner);
}

// It exists, and we may not open it.
Error JudgeUnopened(const UndoPlace& place, const std::string& name) {
  FileStatus status;
  Error error = InspectName(*place.directory, name, &status);
  if (!error.ok()) return At(place, name, std::move(error));
  // An empty one is retired.
  return status.kind == FileKind::kAbsent || status.size == 0 ? Error{} : Busy(place, name);
}

bool HasPlausibleSize(const UndoHeader& header, const FileStatus& status) {
  if (header.FileSize() != status.size) return false;
  return status.size <= kUnsuspiciousSize || status.size / kMostPerAllocated <= status.allocated;
}

Error ReadHeader(UndoFile* undo, bool* valid) {
  size_t read = 0;
  auto* bytes = reinterpret_cast<char*>(&undo->header);
  Error error = ReadAt(undo->file.get(), 0, bytes, sizeof(undo->header), &read);
  *valid = read == sizeof(undo->header) && undo->header.IsValid();
  return error;
}

bool IsIdentity(const UndoHeader& header, const FileIdentity& target) {
  return header.inode == target.inode && header.inode_high == target.inode_high;
}

// Under the lock: nobody changes the file any more.
Error CheckUndoFile(UndoFile* undo) {
  const UndoPlace& place = undo->place;
  const std::string& name = undo->name;
  const int64_t owner = undo->status.owner;  // which not every port tells of an open file
  Error error = InspectFile(undo->file.get(), &undo->status);
  undo->status.owner = owner;
  if (!error.ok()) return At(place, name, std::move(error));
  if (undo->status.size == 0) {
    // Retired: nothing depends on it.
    static_cast<void>(RemoveName(*place.directory, name, undo->status.identity));
    undo->file.Reset();
    return {};
  }
  if (!IsOurs(owner)) {
    return Error::Refused(Refusal::kForeignUndoFile, EPERM, "open", Join(place.path, name), owner);
  }
  bool valid = false;
  error = ReadHeader(undo, &valid);
  if (!error.ok()) return At(place, name, std::move(error));
  if (!valid || undo->status.link_count > kMostUndoNames ||
      !IsPrivate(undo->file.get(), undo->status) || !HasPlausibleSize(undo->header, undo->status)) {
    return NotAnUndoFile(place, name, owner);
  }
  return {};
}

// One round; `*again`: the name has just gone to another file.
Error TryOpenUndoFile(const UndoPlace& place, const std::string& name, const FileIdentity* target,
                      UndoFile* undo, bool* again) {
  *again = false;
  undo->place = place;
  undo->name = name;
  Error error =
      OpenFile(*place.directory, name, FileAccess::kReadWrite, &undo->file, &undo->status);
  if (error.refusal == Refusal::kNoAccess) return JudgeUnopened(place, name);
  if (error.refusal == Refusal::kLink || error.refusal == Refusal::kNotRegular) {
    return RemoveWrongKind(place, name);
  }
  if (!error.ok() || !undo->file.valid()) return At(place, name, std::move(error));
  if (undo->status.kind != FileKind::kRegular) {
    undo->file.Reset();
    return RemoveWrongKind(place, name);
  }
  if (target != nullptr && undo->status.size > 0) {
    // Its header is complete before it can be found.
    bool valid = false;
    error = ReadHeader(undo, &valid);
    if (!error.ok() || !valid || !IsIdentity(undo->header, *target)) {
      undo->file.Reset();
      return At(place, name, std::move(error));
    }
  }
  bool granted = false;
  error = TryLock(undo->file.get(), LockMode::kExclusive, &granted);
  if (error.ok() && !granted) error = Busy(place, name);
  FileStatus now;
  if (error.ok()) error = InspectName(*place.directory, name, &now);
  if (!error.ok()) {
    undo->file.Reset();
    return At(place, name, std::move(error));
  }
  *again = now.identity != undo->status.identity;
  return *again ? Error{} : CheckUndoFile(undo);
}

// Gives the file its time. Without it nobody would believe the file later.
Error Seal(const UndoFile& undo) {
  Error error = SetModified(undo.file.get(), SealOf(undo.header));
  return error.ok() ? Flush(undo.file.get(), Durability::kFull) : error;
}

// Asks what OpenUndoFile() would ask of it: a copy that nobody could undo is not begun.
Error CheckCreated(UndoFile* undo) {
  const UndoPlace& place = undo->place;
  Handle again;
  Error error = OpenFile(*place.directory, undo->name, FileAccess::kRead, &again, &undo->status);
  if (!error.ok()) return error;
  const bool found = again.valid() && undo->status.kind == FileKind::kRegular;
  if (!found || !undo->IsSealed() || !IsOurs(undo->status.owner) ||
      !IsPrivate(again.get(), undo->status)) {
    return Error::Refused(Refusal::kNoUndoPlace, EACCES, "open");
  }
  return {};
}

// Where no file can have two names, a target that is renamed after a crash is not found.
Error LinkByNumber(const UndoFile& undo) {
  const std::string by_number = UndoNameOf(undo.header.inode_high, undo.header.inode);
  Error error = LinkFile(*undo.place.directory, undo.file.get(), undo.name, by_number);
  return error.number == ENOSPC || error.number == EDQUOT || error.number == EIO ? error : Error{};
}

Error PublishUndoFile(TemporaryFile* temporary, UndoFile* undo) {
  const UndoPlace& place = undo->place;
  bool published = false;
  undo->name = place.by_name;
  Error error = PublishNew(*place.directory, temporary, undo->name, &published);
  if (error.ok() && !published) error = Error::FromSystem(EEXIST, "link");
  if (!error.ok()) return error;
  undo->file = std::move(temporary->file);
  // To retire it takes its identity, also when no descriptor is left to check it with.
  error = InspectFile(undo->file.get(), &undo->status);
  if (error.ok()) error = CheckCreated(undo);
  // To publish it may have taken another file, or given it a time.
  if (error.refusal == Refusal::kNoUndoPlace && !undo->IsSealed()) {
    error = Seal(*undo);
    if (error.ok()) error = CheckCreated(undo);
  }
  if (error.ok()) error = LinkByNumber(*undo);
  if (error.ok()) error = FlushDirectory(*place.directory);
  if (!error.ok()) static_cast<void>(undo->Retire(Durability::kNone));
  return error;
}

}  // namespace

UndoPlace PlaceBeside(const Directory& directory, const std::string& path,
                      const std::string& name) {
  return {&directory, path, UndoNameFor(CanonicalName(name))};
}

Error PlaceElsewhere(const Directory& elsewhere, const std::string& path,
                     const Directory& directory, const std::string& name, UndoPlace* place) {
  std::string resolved;
  Error error = ResolvePath(directory, &resolved);
  *place = {&elsewhere, path, UndoNameFor(Join(resolved, CanonicalName(name)))};
  return error;
}

std::string UndoNameOf(uint64_t inode_high, uint64_t inode) {
  return kTemporaryPrefix + std::to_string(inode_high) + '-' + std::to_string(inode) + kUndoSuffix;
}

bool HasSealTime(const FileStatus& status) {
  return status.modified >= kSealSeconds * kNanosecondsPerSecond;
}

bool UndoFile::IsSealed() const {
  const uint64_t seal = SealOf(header);
  constexpr uint64_t kNear = kSealTick * kNanosecondsPerSecond;
  return status.modified < seal + kNear && status.modified + kNear > seal;
}

Error UndoFile::Retire(Durability durability) const {
  const Directory& directory = *place.directory;
  const Error emptied = Truncate(file.get(), 0);
  const std::string by_number = UndoNameOf(header.inode_high, header.inode);
  Error removed = RemoveName(directory, by_number, status.identity);
  if (removed.ok()) removed = RemoveName(directory, FirstNameOf(header), status.identity);
  // It may not be ours to remove, and on old file systems of Windows it keeps its name for as long as a reader has it open.
  if (!removed.ok()) return emptied.ok() ? Flush(file.get(), durability) : emptied;
  if (durability != Durability::kFull) return {};
  // Else a loss of power could bring it back, and with it the old contents.
  return FlushDirectory(directory);
}

Error UndoFile::SetAside() const {
  const Directory& directory = *place.directory;
  const std::string by_number = UndoNameOf(header.inode_high, header.inode);
  FileStatus now;
  Error error = InspectName(directory, by_number, &now);
  if (error.ok() && now.kind == FileKind::kAbsent) {
    error = LinkFile(directory, file.get(), place.by_name, by_number);
    if (error.ok()) error = InspectName(directory, by_number, &now);
  }
  if (error.ok() && now.identity != status.identity) error = Error::FromSystem(EEXIST, "link");
  if (error.ok()) error = RemoveName(directory, place.by_name, status.identity);
  // Without links there are no second names, and none by which this one would be found.
  const int number = error.number;
  if (number == EOPNOTSUPP || number == ENOTSUP || number == EPERM) {
    return Retire(Durability::kFull);
  }
  return error;
}

Error OpenUndoFile(const UndoPlace& place, const std::string& name, const FileIdentity* target,
                   UndoFile* undo) {
  bool again = true;
  for (int round = 0; again && round < kMaxRounds; round++) {
    Error error = TryOpenUndoFile(place, name, target, undo, &again);
    if (!error.ok()) return error;
  }
  return again ? Busy(place, name) : Error{};
}

Error CreateUndoFile(const UndoPlace& place, const UndoSource& source, UndoFile* undo) {
  // It could not be removed.
  if (place.directory->append_only) return Error::FromSystem(EPERM, "open");
  TemporaryFile temporary;
  Error error = CreateTemporary(*place.directory, kPrivateMode, &temporary);
  if (!error.ok()) return error;
  const NativeHandle file = temporary.file.get();
  undo->place = place;
  UndoHeader& header = undo->header;
  header = {};
  header.inode = source.status.identity.inode;
  header.inode_high = source.status.identity.inode_high;
  header.born = BirthTime(source.target);
  header.old_size = source.status.size;
  header.new_size = source.size;
  place.by_name.copy(header.name, sizeof(header.name), sizeof(kTemporaryPrefix) - 1);
  header.old_mode = source.status.mode & kPermissions;
  header.new_mode = source.mode & kPermissions;
  error = Reserve(file, header.FileSize());
  if (error.ok()) error = SetMode(file, kPrivateMode);
  if (error.ok()) error = WriteUndo(file, &header, source.contents, source.target);
  if (error.ok()) error = SetModified(file, SealOf(header));
  // A name never leads to an incomplete one.
  if (error.ok()) error = Flush(file, Durability::kFull);
  // Held from before it can be found until the copy is done: a free one was left by a crash.
  bool granted = false;
  if (error.ok()) error = TryLock(file, LockMode::kExclusive, &granted);
  if (error.ok() && !granted) error = Error::FromSystem(EBUSY, "flock");
  temporary.stays_locked = true;
  if (error.ok()) error = PublishUndoFile(&temporary, undo);
  if (!error.ok()) DiscardTemporary(*place.directory, &temporary);
  return error;
}

Error TakenUndoName(const UndoPlace& place) {
  FileStatus status;
  static_cast<void>(InspectName(*place.directory, place.by_name, &status));
  return NotAnUndoFile(place, place.by_name, status.owner);
}

bool MayRestore(const Directory& directory, const FileStatus& target) {
  return IsOurs(target.owner) || !IsShared(directory);
}

}  // namespace holdfast
