#include "undo_replay.h"

#include <algorithm>
#include <cerrno>

#include "path.h"

namespace holdfast {

namespace {

// An undo file and the target that it may be for.
class Replay {
 public:
  Replay(const UndoSearch& search, UndoFile undo, UndoSighting* sighting)
      : search_(search), undo_(std::move(undo)), sighting_(sighting) {}

  Error Run() {
    const UndoHeader& header = undo_.header;
    if (std::max(header.old_size, header.new_size) > search_.max_bytes) {
      return Error::FromSystem(EFBIG, "read");
    }
    Error error = OpenTarget();
    if (!error.ok() || !target_.valid()) return error;
    CopiedContents contents = CopiedContents::kOther;
    bool intact = false;
    error =
        CompareWithUndo(undo_.file.get(), header, target_.get(), status_.size, &contents, &intact);
    if (!error.ok()) return error;
    if (!intact) return Refused(Refusal::kObstacle, EINVAL);
    return Conclude(contents);
  }

 private:
  // For writing if that is allowed, since there may be nothing to write.
  Error OpenTarget() {
    for (const FileAccess access : {FileAccess::kReadWrite, FileAccess::kRead}) {
      Error error = OpenFile(search_.directory, search_.name, access, &target_, &status_);
      writable_ = access == FileAccess::kReadWrite;
      if (error.refusal == Refusal::kNoAccess && writable_) continue;
      if (!error.ok() || !target_.valid()) return error;
      break;
    }
    const int64_t owner = status_.owner;
    bool granted = false;
    Error error = TryLockContents(target_.get(), &granted);
    if (error.ok() && !granted) {
      error = Error::FromSystem(EBUSY, "flock");
      error.transient = true;
    }
    if (error.ok()) error = InspectFile(target_.get(), &status_);
    status_.owner = owner;
    return error;
  }

  Error Conclude(CopiedContents contents) {
    const UndoHeader& header = undo_.header;
    switch (contents) {
      case CopiedContents::kOther:
        if (IsSameFile()) return Refused(Refusal::kChangedSinceCopy, EINVAL);
        sighting_->unrelated.push_back(undo_.status.identity);
        return {};
      case CopiedContents::kOld:
        return Finish(header.old_mode);
      case CopiedContents::kNew:
        return Finish(header.new_mode);
      case CopiedContents::kTorn:
        break;
    }
    Error error = CheckRestoring();
    if (error.ok()) error = RestoreContents(undo_.file.get(), header, target_.get());
    return error.ok() ? Finish(header.old_mode) : error;
  }

  Error CheckRestoring() const {
    if (!undo_.IsSealed()) return Refused(Refusal::kObstacle, EINVAL);
    if (!MayRestore(search_.directory, status_)) {
      return Error::Refused(Refusal::kForeignOwner, EPERM, "open", search_.path, status_.owner);
    }
    if (!writable_) {
      return Error::Refused(Refusal::kNoAccess, EACCES, "open", search_.path, status_.owner);
    }
    return {};
  }

  // The contents are whole; the mode follows if it may be set, and is not wider than it ever was.
  Error Finish(uint32_t recorded_mode) {
    sighting_->changed = true;
    // A set-id bit would be for contents that are not there any more, whoever wrote it.
    const uint32_t mode = recorded_mode & kPermissions;
    if ((status_.mode & kPermissions) != mode && CheckRestoring().ok()) {
      static_cast<void>(SetMode(target_.get(), mode));
    }
    Error error = Flush(target_.get(), Durability::kFull);
    if (!error.ok()) return error;
    if (IsSameFile()) return undo_.Retire(Durability::kFull);
    // The file that the copy wrote into may be elsewhere, and torn. One that has got another number by a mount is no loss.
    error = undo_.SetAside();
    if (error.number != EEXIST) return error;
    sighting_->unrelated.push_back(undo_.status.identity);
    return {};
  }

  bool IsSameFile() const { return undo_.header.IsFor(status_.identity, BirthTime(target_.get())); }

  Error Refused(Refusal refusal, int number) const {
    return Error::Refused(refusal, number, "open", Join(undo_.place.path, undo_.name),
                          undo_.status.owner);
  }

  const UndoSearch& search_;
  UndoFile undo_;
  UndoSighting* const sighting_;
  Handle target_;
  FileStatus status_;
  bool writable_ = false;
};

Error ReplayAt(const UndoSearch& search, const UndoPlace& place, const FileStatus& target,
               UndoSighting* sighting) {
  const std::string by_number = UndoNameOf(target.identity.inode_high, target.identity.inode);
  for (const std::string& name : {place.by_name, by_number}) {
    const bool named = name == place.by_name;
    UndoFile undo;
    Error error = OpenUndoFile(place, name, named ? nullptr : &target.identity, &undo);
    if (error.ok() && undo.file.valid()) {
      error = Replay(search, std::move(undo), sighting).Run();
    }
    if (!error.ok()) return error;
  }
  return {};
}

}  // namespace

UndoSearch::UndoSearch(const Directory& target_directory, const std::string& target_path,
                       const std::string& target_name, const std::string& other_directory)
    : directory(target_directory),
      path(target_path),
      name(target_name),
      undo_directory(other_directory),
      beside(PlaceBeside(directory, ParentOf(path), name)) {}

Error ReplayUndoFiles(const UndoSearch& search, const FileStatus& target, UndoSighting* sighting) {
  Error error = ReplayAt(search, search.beside, target, sighting);
  if (!error.ok() || search.undo_directory.empty()) return error;
  Directory elsewhere;
  UndoPlace place;
  error = OpenDirectory(search.undo_directory, ParentPolicy::kTrust, &elsewhere);
  if (error.ok()) {
    error = PlaceElsewhere(elsewhere, search.undo_directory, search.directory, search.name, &place);
  }
  if (!error.ok()) return WithPath(error, search.undo_directory);
  return ReplayAt(search, place, target, sighting);
}

bool HasUndoFile(const UndoSearch& search, const UndoSighting& sighting) {
  const std::vector<FileIdentity>& unrelated = sighting.unrelated;
  const auto is_new = [&](const UndoPlace& place) {
    FileStatus status;
    // An empty one is retired.
    return InspectName(*place.directory, place.by_name, &status).ok() && status.size > 0 &&
           status.kind == FileKind::kRegular &&
           std::find(unrelated.begin(), unrelated.end(), status.identity) == unrelated.end();
  };
  if (is_new(search.beside)) return true;
  Directory elsewhere;
  UndoPlace place;
  return !search.undo_directory.empty() &&
         OpenDirectory(search.undo_directory, ParentPolicy::kTrust, &elsewhere).ok() &&
         PlaceElsewhere(elsewhere, search.undo_directory, search.directory, search.name, &place)
             .ok() &&
         is_new(place);
}

}  // namespace holdfast
