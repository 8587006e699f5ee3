#include "lock_directory.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "bounds.h"
#include "inspection.h"
#include "path.h"

namespace holdfast {

namespace {

// File systems keep times to two seconds at worst (FAT), so only a larger difference is somebody else's doing.
constexpr uint64_t kCoarsestTime = 2000000000;

// The shortest `stale` that proper-lockfile knows: of a directory younger than this none of its processes believes that it
// may be removed.
constexpr std::chrono::milliseconds kShortestStale(2000);

// What tells a directory from every other, also from one that gets its number later; empty where there is no such thing.
std::string DirectoryText(NativeHandle handle, const FileIdentity& identity) {
  const uint64_t born = BirthTime(handle);
  if (born == 0) return {};
  return std::to_string(identity.device) + ':' + std::to_string(identity.inode_high) + ':' +
         std::to_string(identity.inode) + ':' + std::to_string(born);
}

// By the clock of this machine, as proper-lockfile has it.
bool IsOlder(const FileStatus& status, std::chrono::milliseconds age) {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  const int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(since_1970).count();
  const auto modified = static_cast<int64_t>(status.modified / 1000000);
  return modified < now && now - modified > age.count();
}

Error IsEmpty(const Directory& directory, bool* empty) {
  std::vector<std::string> names;
  Error error = FindNames(directory, "", "", &names);
  *empty = std::all_of(names.begin(), names.end(),
                       [](const std::string& name) { return name == "." || name == ".."; });
  return error;
}

// From an open directory to one that is ours.
Error Keep(const DirectoryRules& rules, const std::string& path, Handle handle, HeldLock* held,
           bool contested) {
  FileStatus status;
  Error error = InspectFile(handle.get(), &status);
  if (!error.ok()) return error;
  const std::string text = DirectoryText(handle.get(), status.identity);
  held->directory = std::make_shared<LockDirectory>(rules, path, std::move(handle), status);
  held->directory->contested = contested;
  return RecordDirectory(held, text);
}

// What was done about a directory that is there already.
enum class Finding : uint8_t { kOurs, kBusy, kChanged };

// A directory is never removed to be taken over, since it could be another one by then: it is refreshed by its handle,
// and ours if its name still leads to it after that.
Error TakeOver(const DirectoryRules& rules, const std::string& path, const Directory& found,
               HeldLock* held, Finding* finding) {
  const Directory& parent = held->file.location.directory;
  *finding = Finding::kChanged;
  Handle handle;
  FileStatus status;
  Error error = OpenForStamping(parent, rules.name, &handle, &status);
  if (!error.ok() || !handle.valid() || status.identity != found.identity) return error;
  const std::string text = DirectoryText(handle.get(), status.identity);
  const bool left_by_ours = !text.empty() && text == held->recorded_directory;
  if (!left_by_ours && !IsOlder(status, rules.stale)) {
    *finding = Finding::kBusy;
    return {};
  }
  bool empty = false;
  error = IsEmpty(found, &empty);
  if (!error.ok()) return error;
  if (!empty) return Error::FromSystem(ENOTEMPTY, "rmdir");
  const bool contested = IsOlder(status, kShortestStale);
  error = StampModified(handle.get());
  if (error.number == EACCES || error.number == EPERM) {
    // Another user's. Who may remove names here can still have it in the way of proper-lockfile.
    handle.Reset();
    return RemoveName(parent, rules.name, status.identity);
  }
  FileStatus named;
  if (error.ok()) error = InspectName(parent, rules.name, &named);
  if (!error.ok() || named.kind == FileKind::kAbsent || named.identity != status.identity) {
    return error;
  }
  *finding = Finding::kOurs;
  return Keep(rules, path, std::move(handle), held, contested);
}

Error OpenMade(const DirectoryRules& rules, const std::string& path, const Directory& made,
               HeldLock* held, Finding* finding) {
  *finding = Finding::kChanged;
  Handle handle;
  FileStatus status;
  Error error = OpenForStamping(held->file.location.directory, rules.name, &handle, &status);
  if (!error.ok() || !handle.valid() || status.identity != made.identity) return error;
  *finding = Finding::kOurs;
  return Keep(rules, path, std::move(handle), held, /*contested=*/false);
}

// A directory that was made just now and cannot be used would keep everybody out until it is stale. What has its name is that
// one: it is too young for anybody to have put another in its place.
void RemoveMade(const Directory& parent, const std::string& name) {
  FileStatus status;
  if (InspectName(parent, name, &status).ok() && status.kind == FileKind::kDirectory) {
    static_cast<void>(RemoveName(parent, name, status.identity));
  }
}

// The name is taken by what is no directory. proper-lockfile takes it for a lock as long as it is fresh.
Error JudgeOther(const DirectoryRules& rules, const Directory& parent, Finding* finding) {
  FileStatus status;
  Error error = InspectName(parent, rules.name, &status);
  *finding = Finding::kChanged;
  if (!error.ok() || status.kind == FileKind::kAbsent) return error;
  if (status.kind == FileKind::kLink) return Error::Refused(Refusal::kLink, ELOOP, "lstat");
  if (status.kind == FileKind::kDirectory) return {};
  if (IsOlder(status, rules.stale)) return Error::FromSystem(ENOTDIR, "rmdir");
  *finding = Finding::kBusy;
  return {};
}

Error ClaimOnce(const DirectoryRules& rules, const std::string& path, HeldLock* held,
                Finding* finding) {
  const Directory& parent = held->file.location.directory;
  Directory directory;
  bool created = false;
  Error error = MakeDirectory(parent, rules.name, std::nullopt, &directory, &created);
  if (error.transient) {
    *finding = Finding::kBusy;
    return {};
  }
  if (created) {
    if (error.ok()) error = OpenMade(rules, path, directory, held, finding);
    if (!error.ok() && held->directory == nullptr) RemoveMade(parent, rules.name);
    return error;
  }
  if (error.ok()) return TakeOver(rules, path, directory, held, finding);
  // What is no directory cannot be opened as one, which Windows says otherwise; or it went before it was opened.
  if (error.number != ENOTDIR && error.number != ENOENT) return error;
  Error found = JudgeOther(rules, parent, finding);
  return found.ok() && *finding == Finding::kChanged ? error : found;
}

}  // namespace

LockDirectory::LockDirectory(DirectoryRules rules, std::string path, Handle handle,
                             const FileStatus& status)
    : rules_(std::move(rules)),
      path_(std::move(path)),
      identity_(status.identity),
      handle_(std::move(handle)),
      modified_(status.modified),
      refreshed_(std::chrono::steady_clock::now()) {}

bool LockDirectory::Lose(Error error) {
  lost_ = true;
  loss_ = WithPath(std::move(error), path_);
  handle_.Reset();
  return false;
}

bool LockDirectory::Refresh(const Directory& parent, bool* failed) {
  std::lock_guard<std::mutex> guard(mutex_);
  *failed = false;
  if (!handle_.valid()) return false;
  FileStatus status;
  Error error = InspectName(parent, rules_.name, &status);
  if (error.ok()) {
    if (status.kind == FileKind::kAbsent) return Lose(Error::FromSystem(ENOENT, "stat"));
    const uint64_t moved =
        status.modified > modified_ ? status.modified - modified_ : modified_ - status.modified;
    if (status.identity != identity_ || moved >= kCoarsestTime) return Lose({});
    error = StampModified(handle_.get());
  }
  if (error.ok()) error = InspectFile(handle_.get(), &status);
  const auto now = std::chrono::steady_clock::now();
  if (error.ok()) {
    modified_ = status.modified;
    refreshed_ = now;
    return true;
  }
  if (now - refreshed_ > rules_.stale) return Lose(std::move(error));
  *failed = true;
  return true;
}

Error LockDirectory::IsInPlace(const Directory& parent, bool* in_place) const {
  FileStatus status;
  Error error = InspectName(parent, rules_.name, &status);
  if (error.ok() && status.kind == FileKind::kAbsent) error = Error::FromSystem(ENOENT, "stat");
  *in_place = error.ok() && status.identity == identity_;
  return WithPath(error, path_);
}

Error LockDirectory::Remove(const Directory& parent) {
  std::lock_guard<std::mutex> guard(mutex_);
  // Without its number being kept, another directory could have it.
  if (!handle_.valid()) return {};
  bool in_place = false;
  Error error = IsInPlace(parent, &in_place);
  // On Windows the name stays as long as we have it open.
  handle_.Reset();
  if (error.number == ENOENT) return {};
  if (error.ok() && in_place) error = RemoveName(parent, rules_.name, identity_);
  return WithPath(error, path_);
}

bool LockDirectory::lost() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return lost_;
}

Error LockDirectory::loss() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return loss_;
}

Error ClaimDirectory(const DirectoryRules& rules, HeldLock* held, bool* busy) {
  held->leaves_nothing = true;
  const LockLocation& location = held->file.location;
  const std::string path = Join(ParentOf(location.path), rules.name);
  if (held->directory != nullptr) {
    bool in_place = false;
    Error error = held->directory->IsInPlace(location.directory, &in_place);
    *busy = !in_place;
    // Where nobody can tell, it is ours still, and to be removed.
    if (*busy && (error.ok() || error.number == ENOENT)) held->directory.reset();
    return error;
  }
  Error error;
  for (int round = 0; round < kMaxRounds; round++) {
    Finding finding = Finding::kChanged;
    error = ClaimOnce(rules, path, held, &finding);
    *busy = finding == Finding::kBusy;
    const bool again = finding == Finding::kChanged && (error.ok() || error.number == ENOENT);
    if (!again) return WithPath(error, path);
  }
  // It was made and removed again and again, by others, who have it in turn; or nothing can be made here.
  *busy = error.ok();
  return WithPath(error, path);
}

Error LeaveWhole(HeldLock* held) {
  const LockLocation& location = held->file.location;
  Error first;
  if (held->directory != nullptr) {
    first = held->directory->Remove(location.directory);
    // Where the lock file stays, its record must not point to what is gone.
    if (first.ok()) held->recorded_directory.clear();
  }
  // As long as the directory is there, the record tells the next of us that it is nobody's.
  if (held->leaves_nothing && first.ok()) {
    // It would do no harm where it is.
    static_cast<void>(RemoveLockFile(location.directory, location.name, held->file.identity));
  }
  Error error = Leave(*held);
  return first.ok() ? error : first;
}

Error CheckDirectory(const LockRequest& request, const DirectoryRules& rules, bool* locked) {
  Inspection inspection;
  Error error = Inspect(request, &inspection);
  *locked = inspection.held;
  if (error.number == ENOENT) return {};  // not even the directory around it
  if (!error.ok() || *locked) return error;
  Directory parent;
  FileStatus status;
  error = OpenDirectory(ParentOf(request.target), request.parents, &parent);
  if (error.ok()) error = InspectName(parent, rules.name, &status);
  if (!error.ok() || status.kind == FileKind::kAbsent || IsOlder(status, rules.stale)) {
    return WithPath(error, request.target);
  }
  *locked = true;
  Handle handle;
  if (inspection.record.record.directory.empty() || status.kind != FileKind::kDirectory) return {};
  error = OpenForStamping(parent, rules.name, &handle, &status);
  if (!error.ok() || !handle.valid()) return {};
  // Nobody has the kernel's lock, so the holder that made it is dead.
  *locked = DirectoryText(handle.get(), status.identity) != inspection.record.record.directory;
  return {};
}

}  // namespace holdfast
