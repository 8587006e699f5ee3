#include "take_over.h"

#include <algorithm>
#include <cerrno>

#include "owner_rule.h"
#include "path.h"

namespace holdfast {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestInterval(1000);
constexpr milliseconds kShortestInterval(5);
// Looks in the time after which a holder counts as hung. It shows a sign of life three times in that time.
constexpr int kLooksInTtl = 4;

// Puts another lock file in the place of the one that is taken. It is locked exclusively from before it has the name.
Error ReplaceLockFile(const Record& record, LockFile* file) {
  const Directory& directory = file->location.directory;
  const std::string& name = file->location.name;
  TemporaryFile temporary;
  Error error = CreateTemporary(directory, kPrivateMode, &temporary);
  if (!error.ok()) return error;
  bool locked = false;
  error = WriteRecord(temporary.file.get(), record);
  if (error.ok()) {
    error = SetLockFileAccess(directory, file->file.get(), file->file_mode, temporary.file.get());
  }
  if (error.ok()) error = TryLock(temporary.file.get(), LockMode::kExclusive, &locked);
  Publication publication;
  if (error.ok()) {
    error = PublishReplacing(directory, &temporary, name, {}, &publication);
  }
  FileStatus status;
  if (error.ok()) error = InspectFile(temporary.file.get(), &status);
  bool in_place = false;
  if (error.ok()) error = CheckName(directory, name, status.identity, &in_place);
  // A temporary name can be given to another file in a directory that others write.
  if (error.ok() && !in_place) error = Error::FromSystem(ESTALE, "rename");
  if (!error.ok()) {
    DiscardTemporary(directory, &temporary);
    return error;
  }
  file->file = std::move(temporary.file);
  file->identity = status.identity;
  return {};
}

// Goes on with the next slot of the same file.
Error LockNextSlot(const Record& record, LockFile* file, bool* locked) {
  const LockSlot next = file->slot + 1;
  Error error = TryLock(file->file.get(), file->mode, locked, next);
  if (!error.ok() || !*locked) return error;
  error = WriteRecord(file->file.get(), record);
  if (!error.ok()) {
    static_cast<void>(Unlock(file->file.get(), next));
    return error;
  }
  file->slot = next;
  return {};
}

}  // namespace

Error See(const LockFile& lock_file, Sighting* sighting, DecodedRecord* record) {
  Handle fresh;
  NativeHandle file = kNoHandle;
  FileStatus status;
  Error error = HandleForLooking(lock_file, &fresh, &file);
  if (error.ok()) error = InspectFile(file, &status);
  if (error.ok()) error = ReadHolder(file, record);
  if (!error.ok()) return error;
  const Record& seen = record->record;
  *sighting = {seen.pid, seen.token, seen.ttl, seen.epoch, status.modified};
  return {};
}

milliseconds Observation::Interval() const {
  if (!last_.has_ttl()) return kLongestInterval;
  const milliseconds interval(last_.ttl / kLooksInTtl);
  return std::clamp(interval, kShortestInterval, kLongestInterval);
}

void Observation::Add(const Sighting& sighting, Clock::time_point now) {
  if (sighting == last_) {
    // Twice the interval at the most: who was not there to look has seen nothing.
    silence_ += std::min<Clock::duration>(now - last_look_, 2 * Interval());
  } else {
    silence_ = Clock::duration{0};
  }
  last_ = sighting;
  last_look_ = now;
}

bool Observation::IsOverdue() const {
  return last_.has_ttl() && silence_ >= std::chrono::milliseconds(last_.ttl);
}

Error TakeOver(const Sighting& overdue, const Patience& patience, LockFile* file, Record* claim,
               DecodedRecord* previous, bool* taken) {
  *taken = false;
  Guard guard;
  bool ready = false;
  Error error = guard.Enter(*file, patience, &ready);
  if (error.ok() && ready) error = IsInPlace(*file, &ready);
  if (!error.ok() || !ready) return error;
  Sighting now;
  error = See(*file, &now, previous);
  if (!error.ok() || !(now == overdue)) return error;
  // A process that has ended hangs no more: whoever has the lock now takes it without our record, as flock(1) does.
  const Record& silent = previous->record;
  if (InspectProcess(silent.pid, silent.start_token) == Liveness::kDead) return {};

  Record record = *claim;
  if (file->mode == LockMode::kExclusive) {
    Succeed(*previous, &record);
  } else {
    // A shared holder writes none: the robbed one stays in it, as one that has ended, for Enter() to tell of.
    record = previous->record;
    record.ttl = 0;
  }
  if (kLockFilesHaveSlots) {
    record.epoch = file->slot + 1;
    error = LockNextSlot(record, file, taken);
  } else {
    // The guard's file hangs on the old one no more than on the new one: it has a name of its own.
    error = ReplaceLockFile(record, file);
    *taken = error.ok();
  }
  if (*taken && file->mode == LockMode::kExclusive) *claim = record;
  return error;
}

}  // namespace holdfast
