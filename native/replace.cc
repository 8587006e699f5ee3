#include "replace.h"

#include <algorithm>
#include <cerrno>

#include "bounds.h"
#include "guarded_copy.h"
#include "owner_rule.h"
#include "path.h"
#include "temporary_name.h"
#include "undo_replay.h"

namespace holdfast {

namespace {

constexpr uint32_t kSetId = 06000;
// So many times, for about half a second, a replace that is seen as one is tried before one that may be seen half done.
constexpr int kPatientTries = 10;

// More than one who is in the middle of a take-over needs, unless he is stopped there: then JavaScript tries again.
constexpr Patience kGuardPatience = {std::chrono::milliseconds(50), nullptr};

// What rename(2) says where the file is in use, mounted or in a directory that may not be changed, but could be written.
bool IsInTheWay(const Error& error) {
  switch (error.number) {
    case EPERM:
    case EACCES:
    case EROFS:
    case EEXIST:
    case EBUSY:
    case EXDEV:
    case ETXTBSY:
      return true;
    default:
      return false;
  }
}

bool IsDenied(const Error& error) {
  return error.number == EACCES || error.number == EPERM || error.number == EROFS;
}

}  // namespace

Replacement::~Replacement() {
  DiscardTemporary(spooled_ ? undo_directory_ : directory_, &temporary_);
}

ReplaceError Replacement::Fail(Error error, const char* phase) const {
  ReplaceError result;
  result.error = WithPath(std::move(error), request_.path);
  result.phase = phase;
  return result;
}

Error Replacement::CheckTarget() {
  switch (target_.kind) {
    case FileKind::kAbsent:
      return {};
    case FileKind::kDirectory:
      return Error::Refused(Refusal::kDirectory, EISDIR, "lstat");
    case FileKind::kOther:
      return Error::Refused(Refusal::kNotRegular, EINVAL, "lstat");
    case FileKind::kLink:
      if (request_.links == TargetLinkPolicy::kReplace) break;
      return Error::Refused(Refusal::kLink, ELOOP, "lstat");
    case FileKind::kRegular:
      if (target_.link_count <= 1 || request_.split_hard_links) break;
      return Error::Refused(Refusal::kHardLink, EMLINK, "lstat");
  }
  if (request_.create_only) return Error::FromSystem(EEXIST, "link");
  if (target_.kind == FileKind::kLink) return {};  // replaced by name, and never looked through
  trusted_ = IsTrusted(directory_, target_);
  return CheckOwner(directory_, target_, request_.trust_any_owner);
}

bool Replacement::MayCopy() const {
  return request_.copy_fallback != CopyFallback::kNever && KeepsMetadata() &&
         target_.link_count == 1;
}

Error Replacement::OpenTemporary() {
  Error error;
  if (directory_.append_only && TargetExists()) {
    // What gets a name here keeps it, and the target does, too.
    error = Error::FromSystem(EPERM, "open");
  } else {
    error = CreateTemporary(directory_, InitialMode(), &temporary_);
  }
  if (error.ok() || !IsDenied(error) || !MayCopy()) return error;
  if (request_.undo_directory.empty()) {
    Handle target;
    FileStatus status;
    if (!OpenFile(directory_, name_, FileAccess::kReadWrite, &target, &status).ok()) return error;
    return Error::Refused(Refusal::kNoUndoPlace, error.number, "open");
  }
  // Nothing can be created beside the target, which may be writable itself.
  if (!OpenDirectory(request_.undo_directory, ParentPolicy::kTrust, &undo_directory_).ok()) {
    return error;
  }
  spooled_ = true;
  copy_ = true;
  kept_.fallback = std::move(error);
  return CreateTemporary(undo_directory_, kPrivateMode, &temporary_);
}

Error Replacement::ReplayUndo() {
  Error error = InspectName(directory_, name_, &target_);
  if (!error.ok() || target_.kind != FileKind::kRegular) return error;
  UndoSighting sighting;
  error = ReplayUndoFiles({directory_, request_.path, name_, request_.undo_directory}, target_,
                          &sighting);
  if (error.ok() && sighting.changed) error = InspectName(directory_, name_, &target_);
  return error;
}

ReplaceError Replacement::Begin(uint64_t size) {
  name_ = NameOf(request_.path);
  Error error = OpenTargetDirectory(request_.directory, ParentOf(request_.path), &directory_);
  if (!error.ok()) return Fail(std::move(error), "open");
  error = ReplayUndo();
  if (!error.ok()) return Fail(std::move(error), "replay");
  error = CheckTarget();
  if (!error.ok()) return Fail(std::move(error), "inspect");
  // Compared once more just before publishing; now, so that nothing is written in vain.
  if (request_.expected && !(VersionOf(target_) == *request_.expected)) {
    return ReplaceError::Conflict();
  }
  copy_ = TargetExists() &&
          (request_.copy_fallback == CopyFallback::kAlways ||
           (request_.copy_fallback == CopyFallback::kAuto && IsMountPoint(directory_, name_)));
  // The owner of a foreign file could read what is written into it.
  if (copy_ && target_.kind == FileKind::kRegular) {
    error = CheckOwner(directory_, target_, /*trust_any_owner=*/false);
    if (!error.ok()) return Fail(std::move(error), "inspect");
  }
  // Its name is gone where it was mounted from, and nobody there would see what is written to it.
  if (copy_ && target_.link_count == 0 && IsMountPoint(directory_, name_)) {
    return Fail(Error::Refused(Refusal::kReplacedOutside, ESTALE, "open"), "inspect");
  }
  error = OpenTemporary();
  if (!error.ok()) return Fail(std::move(error), "create");
  error = Reserve(temporary_.file.get(), size);
  if (!error.ok()) return Fail(std::move(error), "reserve");
  begun_ = true;
  return {};
}

ReplaceError Replacement::Write(const char* data, size_t size) {
  while (size > 0) {
    if (cancelled_) return ReplaceError::Cancelled("write");
    const size_t piece = std::min(size, kPiece);
    Error error = WriteAt(temporary_.file.get(), written_, data, piece);
    if (!error.ok()) return Fail(std::move(error), "write");
    written_ += piece;
    data += piece;
    size -= piece;
  }
  return {};
}

ReplaceError Replacement::Complete() {
  FileStatus status;
  Error error = InspectFile(temporary_.file.get(), &status);
  // A short write that the system did not report would otherwise be published.
  if (error.ok() && status.size != written_) error = Error::FromSystem(EIO, "write");
  if (!error.ok()) return Fail(std::move(error), "write");
  if (!copy_) {
    // Where that cannot be had, files are told apart by what the file system says of them.
    static_cast<void>(StampVersion(temporary_.file.get()));
    error = CopyMetadata(status);
    if (!error.ok()) return Fail(std::move(error), "attributes");
    error = Flush(temporary_.file.get(), request_.durability);
    if (!error.ok()) return Fail(std::move(error), "flush");
  }
  complete_ = true;
  return {};
}

ReplaceError Replacement::ConfirmLock(Guard* guard) const {
  const HeldLock& lock = *request_.lock;
  bool ours = false;
  if (lock.ttl != 0) {
    bool entered = false;
    Error error = guard->Enter(lock.file, kGuardPatience, &entered);
    if (error.ok() && !entered) {
      error = Error::FromSystem(EBUSY, "flock", lock.file.location.path);
      error.transient = true;
    }
    if (!error.ok()) return Fail(std::move(error), "lock");
  }
  Error error = IsStillOurs(lock, &ours);
  if (!error.ok()) return Fail(std::move(error), "lock");
  return ours ? ReplaceError{} : ReplaceError::Lost();
}

ReplaceError Replacement::Commit(bool last_try, ReplaceResult* result) {
  if (!complete_) {
    ReplaceError failure = Complete();
    if (!failure.ok()) return failure;
  }
  // Released in the other order: the lock must not be given up before its guard.
  Tenure::Share share;
  Guard guard;
  if (request_.lock != nullptr) {
    if (!request_.lock->tenure.Join(&share)) return ReplaceError::Lost();
    ReplaceError failure = ConfirmLock(&guard);
    if (!failure.ok()) return failure;
  }
  *result = kept_;
  ReplaceError failure = Publish(last_try, result);
  // Others may wait for the name that the file has, and JavaScript may be long in coming to the end of this replace.
  if (last_try || !failure.transient()) {
    DiscardTemporary(spooled_ ? undo_directory_ : directory_, &temporary_);
  }
  return failure;
}

ReplaceError Replacement::Publish(bool last_try, ReplaceResult* result) {
  if (cancelled_) return ReplaceError::Cancelled("publish");
  const bool expects_nothing = request_.expected && *request_.expected == FileVersion{};
  if (expects_nothing && !request_.create_only) {
    bool published = false;
    Error error = PublishNew(directory_, &temporary_, name_, &published);
    if (error.ok()) {
      if (!published) return ReplaceError::Conflict();
      return Conclude(result);
    }
    if (error.number != ENOTSUP) return Fail(std::move(error), "publish");
  }
  if (request_.expected && !request_.create_only && !spooled_) {
    ReplaceError failure = ClaimAndCompare(last_try);
    if (!failure.ok()) return failure;
  }
  return copy_ ? PublishByCopy(result) : PublishByRename(last_try, result);
}

Error Replacement::WaitingNameTaken(bool last_try) const {
  const std::string waiting = WaitingName(name_);
  const std::string path = Join(ParentOf(request_.path), waiting);
  FileStatus status;
  Error error = InspectName(directory_, waiting, &status);
  if (!error.ok()) return error;
  const bool is_file = status.kind == FileKind::kRegular || status.kind == FileKind::kAbsent;
  if (!is_file || (last_try && IsOtherUser(status.owner))) {
    return Error::Refused(Refusal::kObstacle, EINVAL, "link", path, status.owner);
  }
  // Somebody else publishes at this very moment.
  error = Error::FromSystem(EBUSY, "link", path);
  error.transient = true;
  return error;
}

ReplaceError Replacement::ClaimAndCompare(bool last_try) {
  bool claimed = false;
  Error error = ClaimWaitingName(directory_, &temporary_, name_, &claimed);
  if (error.ok() && !claimed) error = WaitingNameTaken(last_try);
  FileStatus now;
  if (error.ok()) error = InspectName(directory_, name_, &now);
  if (!error.ok()) return Fail(std::move(error), "publish");
  return VersionOf(now) == *request_.expected ? ReplaceError{} : ReplaceError::Conflict();
}

ReplaceError Replacement::PublishByRename(bool last_try, ReplaceResult* result) {
  Error error;
  Publication publication;
  if (request_.create_only) {
    bool published = false;
    error = PublishNew(directory_, &temporary_, name_, &published);
    if (error.ok() && !published) error = Error::FromSystem(EEXIST, "link");
  } else {
    PublishOptions options;
    options.keep_streams = request_.keep_attributes;
    options.in_two_steps = last_try || ++tries_ > kPatientTries;
    error = PublishReplacing(directory_, &temporary_, name_, options, &publication);
  }
  if (!error.ok()) {
    const bool wait = publication.target_lost || (error.transient && !last_try);
    // A port may have had to close the file, and not been let in again: then there is nothing to copy from.
    if (!wait && !request_.create_only && IsInTheWay(error) && MayCopy() &&
        temporary_.file.valid()) {
      result->fallback = std::move(error);
      return PublishByCopy(result);
    }
    ReplaceError failure = Fail(std::move(error), "publish");
    if (publication.target_lost) failure.target_state = TargetState::kUnknown;
    return failure;
  }
  result->method = publication.method;
  return Conclude(result);
}

ReplaceError Replacement::Conclude(ReplaceResult* result) {
  temporary_.name.clear();
  FileStatus published;
  FileStatus now;
  if (InspectFile(temporary_.file.get(), &published).ok() &&
      InspectName(directory_, name_, &now).ok()) {
    result->version = VersionOf(published);
    result->superseded = now.identity != published.identity;
  }
  if (request_.durability == Durability::kFull) {
    Error error = FlushDirectory(directory_, &result->durable);
    if (!error.ok()) {
      ReplaceError failure = Fail(std::move(error), "directory");
      failure.published = true;
      failure.target_state = TargetState::kNew;
      return failure;
    }
  }
  return {};
}

ReplaceError Replacement::PublishByCopy(ReplaceResult* result) {
  if (copied_before_) {
    // Another copy was in the way, and may have ended half way.
    Error error = ReplayUndo();
    if (!error.ok()) return Fail(std::move(error), "replay");
  }
  copied_before_ = true;
  GuardedCopy copy;
  copy.directory = &directory_;
  copy.path = request_.path;
  copy.name = name_;
  copy.undo_directory = request_.undo_directory;
  copy.source = temporary_.file.get();
  copy.size = written_;
  copy.expected = target_.identity;
  copy.mode = request_.mode;
  // As a rename: set-id bits stay only if they are asked for.
  if (!copy.mode && (target_.mode & kSetId) != 0) copy.mode = target_.mode & kPermissions;
  copy.durability = request_.durability;
  copy.version = request_.expected;
  TargetState state = TargetState::kOld;
  bool conflict = false;
  Error error = copy.Run(&state, &conflict);
  if (conflict) return ReplaceError::Conflict();
  if (!error.ok()) {
    ReplaceError failure = Fail(std::move(error), "copy");
    failure.published = state == TargetState::kNew;
    failure.target_state = state;
    return failure;
  }
  result->method = ReplaceMethod::kCopy;
  FileStatus published;
  if (InspectName(directory_, name_, &published).ok()) result->version = VersionOf(published);
  // The file is the same one, so all that hangs on it stays.
  result->kept_mode = !request_.mode.has_value();
  result->kept_owner = true;
  result->kept_attributes = true;
  result->kept_access_list = true;
  result->durable = request_.durability == Durability::kFull;
  return {};
}

}  // namespace holdfast
