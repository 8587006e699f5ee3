#include "attempt.h"

#include <cerrno>
#include <chrono>

#include "bounds.h"
#include "path.h"

namespace holdfast {

namespace {

using Clock = std::chrono::steady_clock;

Attempt Busy(LockFile file) {
  if (ReadHolder(file.file.get(), &file.found).ok() && file.found.state == RecordState::kForeign) {
    return Attempt::Failure(
        Error::Refused(Refusal::kForeignContent, EINVAL, "read", file.location.path));
  }
  Attempt attempt = Attempt::Of(Outcome::kBusy);
  attempt.key = KeyOf(file.location);
  attempt.busy = std::move(file);
  return attempt;
}

// A wait for a lock file that cannot be opened before another process gives up a lease on it.
Attempt Leased(LockLocation* location) {
  Attempt attempt = Attempt::Of(Outcome::kBusy);
  attempt.key = KeyOf(*location);
  attempt.busy.location = std::move(*location);
  return attempt;
}

// Whether every directory that the request leads through is known to answer at once: kGranted, kUnseen or kRemote.
Outcome Reach(const LockRequest& request, const FileSystems& file_systems) {
  Outcome outcome = Outcome::kGranted;
  for (const std::string& directory : DirectoriesOf(request)) {
    FileSystemClass kind = FileSystemClass::kUnknown;
    if (!file_systems.FindTouched(directory, &kind)) return Outcome::kUnseen;
    if (kind != FileSystemClass::kLocal) outcome = Outcome::kRemote;
  }
  return outcome;
}

}  // namespace

Attempt Attempt::Of(Outcome outcome) {
  Attempt attempt;
  attempt.outcome = outcome;
  return attempt;
}

Attempt Attempt::Failure(Error error) {
  Attempt attempt;
  attempt.error = std::move(error);
  return attempt;
}

Attempt Granted(LockFile file, const Record& claim, DecodedRecord previous, Clock::time_point since,
                bool taken_over) {
  Attempt attempt = Attempt::Of(Outcome::kGranted);
  attempt.held.token = claim.token;
  attempt.held.ttl = claim.ttl;
  attempt.held.epoch = claim.epoch;
  attempt.held.recorded_directory = claim.directory;
  attempt.held.previous = std::move(previous);
  attempt.held.taken_over = taken_over;
  attempt.held.entered = since;
  attempt.held.file = std::move(file);
  return attempt;
}

Error Touch(const LockRequest& request, FileSystems* file_systems) {
  for (const std::string& path : DirectoriesOf(request)) {
    Directory directory;
    FileSystem file_system;
    Error error = OpenOnTheWay(request, path, &directory);
    if (error.ok()) error = InspectFileSystem(directory, &file_system);
    if (!error.ok()) return WithPath(error, path);
    file_systems->MarkTouched(path, file_system.kind);
  }
  return {};
}

Attempt TryAcquire(const AcquireOptions& options, FileSystems* file_systems, const KeySet& queued,
                   const Patience& patience, Record* claim) {
  const LockRequest& request = options.request;
  if (!options.may_block) {
    const Outcome reach = Reach(request, *file_systems);
    if (reach != Outcome::kGranted) return Attempt::Of(reach);
  }
  LockLocation location;
  Error error = Locate(request, &location);
  if (!error.ok()) return Attempt::Failure(std::move(error));
  FileSystem file_system;
  error = InspectFileSystem(location.directory, &file_system);
  if (!error.ok()) return Attempt::Failure(WithPath(std::move(error), location.path));
  if (file_system.kind != FileSystemClass::kLocal && !options.may_block) {
    // It was mounted here since the directory was touched.
    file_systems->MarkTouched(ParentOf(location.path), file_system.kind);
    return Attempt::Of(Outcome::kRemote);
  }
  if (!options.overtake && !queued.empty()) {
    Attempt attempt = Attempt::Of(Outcome::kQueued);
    attempt.key = KeyOf(location);
    if (queued.count(attempt.key) != 0) return attempt;
  }

  for (int round = 0; round < kMaxRounds; round++) {
    LockFile file;
    error = OpenChecked(request, &location, &file);
    if (IsLeased(error) && options.keep_file) return Leased(&location);
    if (!error.ok()) return Attempt::Failure(std::move(error));
    file.file_system = file_system.kind;
    const Clock::time_point since = Clock::now();
    bool granted = false;
    error = TryLock(file.file.get(), file.mode, &granted, file.slot);
    if (!error.ok()) return Attempt::Failure(WithPath(std::move(error), file.location.path));
    bool taken_over = false;
    DecodedRecord previous;
    if (!granted && options.overdue) {
      // That it cannot be taken over is no reason to wait no longer.
      static_cast<void>(TakeOver(*options.overdue, patience, &file, claim, &previous, &taken_over));
      if (taken_over && file.mode == LockMode::kExclusive) {
        return Granted(std::move(file), *claim, std::move(previous), since, true);
      }
      if (taken_over) error = TryLock(file.file.get(), file.mode, &granted, file.slot);
      if (!error.ok()) return Attempt::Failure(WithPath(std::move(error), file.location.path));
    }
    if (!granted) return Busy(std::move(file));
    Entry entry = Entry::kMoved;
    error = Enter(file, patience, claim, &previous, &entry);
    if (error.ok() && entry == Entry::kEntered) {
      return Granted(std::move(file), *claim, std::move(previous), since, taken_over);
    }
    static_cast<void>(Unlock(file.file.get(), file.slot));
    if (!error.ok()) return Attempt::Failure(std::move(error));
    // A wait for it begins, and who ends that has the patience.
    if (entry == Entry::kGuarded) return Busy(std::move(file));
    location = std::move(file.location);
  }
  return Attempt::Failure(Error::FromSystem(ESTALE, "flock", location.path));
}

Attempt CompleteGrant(LockFile* file, const Patience& patience, Record claim) {
  const Clock::time_point since = Clock::now();
  DecodedRecord previous;
  Entry entry = Entry::kMoved;
  Error error = Enter(*file, patience, &claim, &previous, &entry);
  if (error.ok() && entry == Entry::kEntered) {
    return Granted(std::move(*file), claim, std::move(previous), since);
  }
  if (error.ok() && entry == Entry::kGuarded) return Attempt::Of(Outcome::kGuarded);
  GiveBack(std::move(*file));
  return error.ok() ? Attempt::Of(Outcome::kStale) : Attempt::Failure(std::move(error));
}

}  // namespace holdfast
