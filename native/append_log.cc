#include "append_log.h"

#include <cerrno>

#include "bounds.h"
#include "owner_rule.h"
#include "path.h"

namespace holdfast {

namespace {

// Gives a lock back at the end of a block.
class Locked {
 public:
  explicit Locked(NativeHandle file) : file_(file) {}
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  ~Locked() { static_cast<void>(Unlock(file_)); }

 private:
  const NativeHandle file_;
};

}  // namespace

Error AppendLog::Open() {
  name_ = NameOf(request_.path);
  Error error = OpenDirectory(ParentOf(request_.path), request_.parents, &directory_);
  if (!error.ok()) return WithPath(error, ParentOf(request_.path));
  FileSystem file_system;
  error = InspectFileSystem(directory_, &file_system);
  if (error.ok()) error = OpenOrCreate(&file_, &identity_);
  remote_ = file_system.kind != FileSystemClass::kLocal;
  return WithPath(error, request_.path);
}

Error AppendLog::OpenOrCreate(Handle* file, FileIdentity* identity) const {
  for (int round = 0; round < kMaxRounds; round++) {
    FileStatus status;
    Error error = OpenForWriting(directory_, name_, FileAccess::kAppend, request_.trust_any_owner,
                                 file, &status);
    if (!error.ok()) return error;
    if (file->valid()) {
      *identity = status.identity;
      return {};
    }
    bool created = false;
    error = CreateEmpty(directory_, name_, request_.mode, &created);
    if (!error.ok()) return error;
  }
  return Error::FromSystem(ESTALE, "open");
}

bool AppendLog::IsInPlace() const {
  FileStatus now;
  // One that cannot be looked at now may well be there.
  return !InspectName(directory_, name_, &now).ok() || now.identity == identity_;
}

void AppendLog::FollowName() {
  Handle file;
  FileIdentity identity;
  // Where that fails, as for want of descriptors, the lines go where the ones before them are.
  if (!OpenOrCreate(&file, &identity).ok()) return;
  file_ = std::move(file);
  identity_ = identity;
}

Error AppendLog::Append(const std::string& lines, bool without_lock, bool* appended) {
  *appended = false;
  const std::unique_lock<std::mutex> turn(mutex_, std::try_to_lock);
  if (!turn.owns_lock()) {
    return without_lock ? Error::FromSystem(EBUSY, "write", request_.path) : Error{};
  }
  if (!IsInPlace()) FollowName();  // the file was moved aside to begin a new one
  const NativeHandle file = file_.get();
  bool granted = false;
  // Where there are no locks, what is written in one call still comes out in one piece on every system known.
  const bool lockable = TryLock(file, LockMode::kExclusive, &granted).ok();
  Error error;
  if (granted) {
    const Locked locked(file);
    error = AppendTo(file, true, lines);
  } else if (lockable && !without_lock) {
    return {};
  } else {
    error = AppendTo(file, false, lines);
  }
  *appended = error.ok();
  return WithPath(error, request_.path);
}

Error AppendLog::AppendTo(NativeHandle file, bool locked, const std::string& lines) const {
  FileStatus before;
  Error error = InspectFile(file, &before);
  if (!error.ok()) return error;
  // Whoever was cut off in a line, by a kill or a full disk, has left its end to us.
  char last = '\n';
  size_t read = 0;
  if (before.size > 0) error = ReadAt(file, before.size - 1, &last, 1, &read);
  if (!error.ok()) return error;
  const std::string bytes = last == '\n' ? lines : '\n' + lines;
  size_t written = 0;
  error = holdfast::Append(file, bytes.data(), bytes.size(), &written);
  if (error.ok() || written == 0 || !locked) return error;
  FileStatus after;
  // Others need not ask for the lock; what they have appended is not ours to cut off.
  if (InspectFile(file, &after).ok() && after.size == before.size + written) {
    static_cast<void>(Truncate(file, before.size));
  }
  return error;
}

}  // namespace holdfast
