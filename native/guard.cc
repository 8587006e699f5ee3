#include "guard.h"

#include <algorithm>
#include <thread>

#include "path.h"

namespace holdfast {

namespace {

constexpr char kGuardSuffix[] = ".guard";
constexpr std::chrono::milliseconds kFirstGuardDelay(1);
constexpr std::chrono::milliseconds kLastGuardDelay(16);

}  // namespace

Error Guard::TryEnterFile(const LockFile& lock_file, bool* entered) {
  LockRequest request;
  request.file_mode = lock_file.file_mode;
  request.trust_any_owner = lock_file.trust_any_owner;
  const Directory& directory = lock_file.location.directory;
  const std::string name = lock_file.location.name + kGuardSuffix;
  file_.Reset();
  FileIdentity identity;
  // Whoever may use the lock must be able to take its guard.
  Error error = OpenOrCreate(request, directory, name, &file_, &identity, lock_file.file.get());
  if (IsLeased(error)) return {};
  if (error.ok()) error = TryLock(file_.get(), LockMode::kExclusive, entered);
  if (!error.ok() || !*entered) return WithPath(error, lock_file.location.path + kGuardSuffix);
  locked_ = file_.get();
  FileStatus status;
  error = InspectName(directory, name, &status);
  *entered = error.ok() && status.kind != FileKind::kAbsent && status.identity == identity;
  if (!*entered) Leave();
  return WithPath(error, lock_file.location.path + kGuardSuffix);
}

Error Guard::TryEnter(const LockFile& lock_file, bool* entered) {
  if (!kLockFilesHaveSlots) return TryEnterFile(lock_file, entered);
  Error error = TryLock(lock_file.file.get(), LockMode::kExclusive, entered, kGuardSlot);
  if (error.ok() && *entered) locked_ = lock_file.file.get();
  return error;
}

Error Guard::Enter(const LockFile& lock_file, const Patience& patience, bool* entered) {
  *entered = false;
  std::chrono::milliseconds delay = kFirstGuardDelay;
  for (std::chrono::milliseconds waited{0};; waited += delay) {
    Error error = TryEnter(lock_file, entered);
    if (!error.ok() || *entered) return error;
    if (waited >= patience.limit) return {};
    if (patience.given_up != nullptr && *patience.given_up) return {};
    std::this_thread::sleep_for(delay);
    delay = std::min(delay * 2, kLastGuardDelay);
  }
}

void Guard::Leave() {
  if (locked_ != kNoHandle) static_cast<void>(Unlock(locked_, kGuardSlot));
  locked_ = kNoHandle;
  file_.Reset();
}

}  // namespace holdfast
