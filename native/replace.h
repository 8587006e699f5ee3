// Atomic replace: a file gets new contents, or keeps the old ones, whatever happens on the way.
#ifndef HOLDFAST_REPLACE_H_
#define HOLDFAST_REPLACE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "lock.h"
#include "platform.h"
#include "target_directory.h"

namespace holdfast {

enum class TargetLinkPolicy : uint8_t { kRefuse, kReplace };
enum class CopyFallback : uint8_t { kAuto, kNever, kAlways };

// What is at the target's path after a replace that failed.
enum class TargetState : uint8_t { kOld, kNew, kRestored, kUnknown };

struct ReplaceRequest {
  std::string path;  // absolute
  TargetDirectoryRequest directory;
  TargetLinkPolicy links = TargetLinkPolicy::kRefuse;
  bool split_hard_links = false;
  bool create_only = false;
  // Also replace a file that CheckOwner() refuses. Nothing of its metadata is kept, and nothing is written into it.
  bool trust_any_owner = false;
  std::optional<uint32_t> mode;
  bool keep_mode = false;
  bool keep_owner = false;
  bool keep_attributes = false;
  bool keep_access_list = false;
  Durability durability = Durability::kOrdered;
  CopyFallback copy_fallback = CopyFallback::kAuto;
  std::string undo_directory;  // or empty
  // Compare-and-swap: only if the target is in this state, or, with a default-constructed one, absent.
  std::optional<FileVersion> expected;
  // Only as long as this lock is held; if it can be taken over, under its guard.
  std::shared_ptr<const HeldLock> lock;
};

struct ReplaceResult {
  ReplaceMethod method = ReplaceMethod::kRename;
  bool durable = false;
  bool superseded = false;  // another file is there already
  bool kept_mode = false;
  bool kept_owner = false;
  bool kept_attributes = false;
  bool kept_access_list = false;
  FileVersion version;  // of the file that was published
  Error fallback;       // what kept the file from being renamed into place, if that was tried
};

struct ReplaceError {
  Error error;
  const char* phase = "";
  bool published = false;
  bool conflict = false;  // `expected` was not what was there
  bool cancelled = false;
  bool lost = false;  // `lock`
  TargetState target_state = TargetState::kOld;

  static ReplaceError Conflict() {
    ReplaceError failure;
    failure.phase = "publish";
    failure.conflict = true;
    return failure;
  }
  static ReplaceError Cancelled(const char* phase) {
    ReplaceError failure;
    failure.phase = phase;
    failure.cancelled = true;
    return failure;
  }
  static ReplaceError Lost() {
    ReplaceError failure;
    failure.phase = "lock";
    failure.lost = true;
    return failure;
  }

  bool ok() const { return error.ok() && !conflict && !cancelled && !lost; }
  // Nothing has changed, and Commit() may be called again.
  bool transient() const { return error.transient && target_state == TargetState::kOld; }
};

// One replace, from its temporary file to the target. Used by one thread at a time; only Cancel() may come from
// another. What is not committed leaves nothing behind.
class Replacement {
 public:
  explicit Replacement(ReplaceRequest request) : request_(std::move(request)) {}
  ~Replacement();
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  // Finds and checks the target, and opens a temporary file. `size`: how much will be written, 0 when not known. May be
  // tried again after an error that is transient: a copy into the target is under way.
  ReplaceError Begin(uint64_t size);
  bool begun() const { return begun_; }
  ReplaceError Write(const char* data, size_t size);
  // May be tried again after an error that is transient. `last_try`: what stands in the way is not waited out any more,
  // but got round by a copy, where that is allowed.
  ReplaceError Commit(bool last_try, ReplaceResult* result);
  // Makes the next step fail, up to the moment of publishing.
  void Cancel() { cancelled_ = true; }

 private:
  ReplaceError Fail(Error error, const char* phase) const;
  // Looks at the target, which a copy that was cut short may have to be restored in.
  Error ReplayUndo();
  Error CheckTarget();
  // The mode in which the contents are written, less the umask.
  uint32_t InitialMode() const;
  Error OpenTemporary();
  // What the new file takes over from the old one; `made` is how it was made. See replace_metadata.cc.
  Error CopyMetadata(const FileStatus& made);
  Error KeepListAndMode(const ReplacedFile& from, NativeHandle old, bool group_kept);
  // Whether the new file is for the old one's owner and group.
  bool KeepsSubjects() const;
  bool TargetExists() const { return target_.kind != FileKind::kAbsent; }
  bool MayCopy() const;
  // Whether there is a regular file whose metadata may be kept.
  bool KeepsMetadata() const;
  // Makes sure of the lock for as long as `guard` lasts.
  ReplaceError ConfirmLock(Guard* guard) const;
  // Makes the temporary file what is to be published, once.
  ReplaceError Complete();
  ReplaceError Publish(bool last_try, ReplaceResult* result);
  // Compare-and-swap: makes sure that the target is the expected file, and that nobody changes that before we publish.
  ReplaceError ClaimAndCompare(bool last_try);
  // What is said when another has the name that the file needs to wait under.
  Error WaitingNameTaken(bool last_try) const;
  ReplaceError PublishByRename(bool last_try, ReplaceResult* result);
  // What follows when the file has its name.
  ReplaceError Conclude(ReplaceResult* result);
  ReplaceError PublishByCopy(ReplaceResult* result);

  ReplaceRequest request_;
  std::atomic<bool> cancelled_{false};
  Directory directory_;
  std::string name_;
  FileStatus target_;
  bool trusted_ = false;  // IsTrusted(target_)
  // Where the temporary file is: beside the target, or, when nothing can be created there, with the undo file.
  Directory undo_directory_;
  bool spooled_ = false;
  bool copy_ = false;
  TemporaryFile temporary_;
  uint64_t written_ = 0;
  bool begun_ = false;
  bool complete_ = false;
  bool copied_before_ = false;
  int tries_ = 0;       // to publish
  ReplaceResult kept_;  // the part of the result that Complete() knows
};

}  // namespace holdfast

#endif  // HOLDFAST_REPLACE_H_
