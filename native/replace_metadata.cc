// What a file that replaces another one takes over from it. Nobody gets more access than before: a bit of the mode is kept
// with the owner or the group that it is about, or it is taken away.
#include "owner_rule.h"
#include "replace.h"

namespace holdfast {

namespace {

constexpr uint32_t kNewMode = 0666;
constexpr uint32_t kOthersBits = 07;

// What is left of a mode when the file gets another group: the members of either may fall under the group or under the others.
uint32_t WithAnotherGroup(uint32_t mode) {
  const uint32_t both = (mode >> 3U) & mode & kOthersBits;
  return (mode & ~077U) | (both << 3U) | both;
}

}  // namespace

bool Replacement::KeepsMetadata() const { return target_.kind == FileKind::kRegular && trusted_; }

uint32_t Replacement::InitialMode() const {
  const bool mode_follows = request_.mode || (request_.keep_mode && KeepsMetadata());
  if (mode_follows) return kPrivateMode;
  // A foreign file's mode can take access away, so that nobody gets more than before, and never give any.
  const bool foreign = target_.kind == FileKind::kRegular && !trusted_;
  return foreign ? kNewMode & (target_.mode | kPrivateMode) : kNewMode;
}

bool Replacement::KeepsSubjects() const {
  if (request_.keep_mode || request_.keep_owner) return true;
  // A mode that is asked for is meant for a file of the caller's. Where others can plant the old one, its owner must not come
  // to own what the caller writes.
  return request_.mode && (IsOwnedByUs(target_) || !IsShared(directory_));
}

Error Replacement::CopyMetadata(const FileStatus& made) {
  const NativeHandle file = temporary_.file.get();
  if (!KeepsMetadata()) return request_.mode ? SetMode(file, *request_.mode) : Error{};
  const ReplacedFile from{directory_, name_, target_};
  Handle old;
  if (request_.keep_attributes || request_.keep_access_list) {
    FileStatus status;
    Error error = OpenFile(directory_, name_, FileAccess::kRead, &old, &status);
    if (!error.ok()) return error;
  }
  // The owner first, since changing it clears the set-id bits (chown(2)); the mode last, since a list changes it.
  ModeSubjects subjects;
  if (request_.keep_owner) {
    Error error = KeepOwner(from, file);
    if (!error.ok()) return error;
    subjects = {true, true};
    kept_.kept_owner = true;
  } else if (KeepsSubjects()) {
    subjects = KeepSubjects(from, made, file);
    kept_.kept_owner = subjects.given && subjects.owner && subjects.group;
  }
  if (old.valid() && request_.keep_attributes) {
    Error error = CopyAttributes(old.get(), file, &kept_.kept_attributes);
    if (!error.ok()) return error;
  }
  return KeepListAndMode(from, old.get(), subjects.group);
}

Error Replacement::KeepListAndMode(const ReplacedFile& from, NativeHandle old, bool group_kept) {
  const NativeHandle file = temporary_.file.get();
  const uint32_t mode = target_.mode & kPermissions;
  ModeWithoutList kept{mode, mode};
  // A list concerns others than the owner; to these a file without such bits gives nothing, with one or without.
  const bool may_have_list = (mode & 077U) != 0;
  kept_.kept_access_list = request_.keep_access_list && old != kNoHandle && group_kept;
  if (kept_.kept_access_list) {
    Error error = CopyAccessControlList(old, file);
    if (!error.ok()) return error;
  } else {
    if (may_have_list && request_.keep_mode) kept = WithoutAccessControlList(from, mode);
    if (!group_kept) kept.limited = WithAnotherGroup(kept.limited);
    const uint32_t given = request_.mode ? *request_.mode : request_.keep_mode ? kept.limited : 0;
    // The directory's default list is for new files: on this one it would let in whom the old one did not.
    if ((given & 070U) != 0) {
      Error error = RemoveAccessControlList(file);
      if (!error.ok()) return error;
    }
  }
  if (request_.mode) return SetMode(file, *request_.mode);
  if (!request_.keep_mode) return {};
  kept_.kept_mode = kept.limited == kept.entries;
  return KeepPermissions(from, kept.limited, file);
}

}  // namespace holdfast
