#include "guarded_copy.h"

#include <algorithm>
#include <cerrno>

#include "owner_rule.h"
#include "path.h"
#include "undo_format.h"

namespace holdfast {

namespace {

constexpr uint32_t kOwnerMayWrite = 0200;

Error InUse(std::string path) {
  Error error = Error::FromSystem(EBUSY, "flock", std::move(path));
  error.transient = true;
  return error;
}

// Makes the undo file, in the place of one that is for another file.
Error CreateInPlace(const UndoPlace& place, const UndoSource& source, UndoFile* undo) {
  Error error = CreateUndoFile(place, source, undo);
  if (error.number != EEXIST) return error;
  UndoFile found;
  error = OpenUndoFile(place, place.by_name, nullptr, &found);
  if (error.ok() && found.file.valid()) {
    // Left by a copy that has begun and ended since the undo files were replayed.
    if (found.header.IsFor(source.status.identity, BirthTime(source.target))) {
      return InUse(Join(place.path, place.by_name));
    }
    error = found.SetAside();
  }
  if (error.number == EEXIST) return TakenUndoName(place);
  if (error.ok()) error = CreateUndoFile(place, source, undo);
  return error.number == EEXIST ? TakenUndoName(place) : error;
}

Error RestoreFrom(const UndoFile& undo, NativeHandle target, const FileStatus& old) {
  Error error = RestoreContents(undo.file.get(), undo.header, target);
  FileStatus now;
  if (error.ok()) error = InspectFile(target, &now);
  if (error.ok() && now.mode != old.mode) error = SetMode(target, old.mode & kPermissions);
  return error.ok() ? Flush(target, Durability::kFull) : error;
}

}  // namespace

Error GuardedCopy::OpenTarget(Handle* target, FileStatus* status) const {
  Error error = OpenFile(*directory, name, FileAccess::kReadWrite, target, status);
  if (!error.ok()) return error;
  // All that was checked by name is checked on the descriptor that is written to.
  if (!target->valid() || status->identity != expected) return Error::FromSystem(ESTALE, "open");
  // Nothing is ever written into a file that its owner could have planted, or that could not be restored.
  error = CheckOpenFile(*directory, *status, /*trust_any_owner=*/false);
  if (error.ok() && !MayRestore(*directory, *status)) {
    error = Error::Refused(Refusal::kForeignOwner, EPERM, "open", {}, status->owner);
  }
  bool granted = false;
  if (error.ok()) error = TryLockContents(target->get(), &granted);
  if (error.ok() && !granted) error = InUse(path);
  bool in_place = false;
  if (error.ok()) error = CheckName(*directory, name, expected, &in_place);
  if (error.ok() && !in_place) error = Error::FromSystem(ESTALE, "open");
  return error.ok() ? InspectFile(target->get(), status) : error;
}

Error GuardedCopy::PrepareUndo(NativeHandle target, const FileStatus& status, Directory* elsewhere,
                               UndoFile* undo) const {
  UndoSource undone;
  undone.target = target;
  undone.status = status;
  undone.contents = source;
  undone.size = size;
  undone.mode = mode.value_or(status.mode);
  UndoPlace place = PlaceBeside(*directory, ParentOf(path), name);
  Error error = CreateInPlace(place, undone, undo);
  if (error.ok() || error.transient || undo_directory.empty()) return error;
  error = OpenDirectory(undo_directory, ParentPolicy::kTrust, elsewhere);
  if (error.ok()) error = PlaceElsewhere(*elsewhere, undo_directory, *directory, name, &place);
  return error.ok() ? CreateInPlace(place, undone, undo) : error;
}

// What is beyond the old end comes first and the end last, so that a failure half way finds the old bytes in place for
// as long as possible. Rights are taken away before the bytes come, and given after them.
Error GuardedCopy::Overwrite(NativeHandle target, const FileStatus& old) const {
  const uint64_t split = UndoSplit(old.size, size);
  Error error;
  if (mode) {
    // Its owner must be able to restore it.
    const uint32_t narrow = old.mode & (*mode | kOwnerMayWrite);
    if (!HasExactMode(old, narrow)) error = SetMode(target, narrow);
  }
  if (error.ok()) error = CopyRange(source, split, target, split, size - split);
  if (error.ok()) error = CopyRange(source, 0, target, 0, split);
  if (error.ok() && size < old.size) error = Truncate(target, size);
  if (error.ok() && mode) {
    FileStatus now;
    error = InspectFile(target, &now);
    if (error.ok() && !HasExactMode(now, *mode)) error = SetMode(target, *mode);
  }
  return error.ok() ? Flush(target, durability) : error;
}

Error GuardedCopy::Run(TargetState* state, bool* conflict) const {
  *state = TargetState::kOld;
  *conflict = false;
  Handle target;
  FileStatus status;
  Error error = OpenTarget(&target, &status);
  if (!error.ok()) return error;
  if (version) {
    // Whoever copies as well has done that by now, or waits for our lock.
    *conflict = !(VersionOf(status) == *version) || !IsInPlace();
    if (*conflict) return {};
  }

  Directory elsewhere;
  UndoFile undo;
  error = PrepareUndo(target.get(), status, &elsewhere, &undo);
  if (!error.ok()) return error;

  if (size > status.size) error = Reserve(target.get(), size);
  if (!error.ok()) {
    static_cast<void>(Truncate(target.get(), status.size));
    static_cast<void>(undo.Retire(Durability::kNone));
    return error;
  }
  *state = TargetState::kUnknown;
  error = Overwrite(target.get(), status);
  if (error.ok()) {
    *state = TargetState::kNew;
    error = undo.Retire(durability);
    // Somebody who may replace the file, as we may not, has done that, and our bytes are in none that has a name.
    *conflict = version && !IsInPlace();
    return error;
  }
  // The first error is the one to report; without a restoration the undo file stays for the next use.
  if (RestoreFrom(undo, target.get(), status).ok() && undo.Retire(Durability::kNone).ok()) {
    *state = TargetState::kRestored;
  }
  return error;
}

bool GuardedCopy::IsInPlace() const {
  FileStatus now;
  return InspectName(*directory, name, &now).ok() && now.identity == expected;
}

}  // namespace holdfast
