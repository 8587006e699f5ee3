#include "inspection.h"

#include <cerrno>

#include "owner_rule.h"

namespace holdfast {

namespace {

constexpr int kMaxLooks = 3;

// The kernel's list is read in pieces, and a lock may be missed in it while others come and go: a record that names a holder
// is a reason to look again.
KernelHolders FindHolders(const FileIdentity& identity, const Record& record) {
  KernelHolders holders = FindKernelHolders(identity);
  for (int looks = 1; looks < kMaxLooks && holders.pids.empty() && record.has_holder(); looks++) {
    holders = FindKernelHolders(identity);
  }
  return holders;
}

Error ProbeLock(NativeHandle file, LockSlot slot, Inspection* inspection) {
  bool granted = false;
  Error error = TryLock(file, LockMode::kShared, &granted, slot);
  if (!error.ok()) return error;
  inspection->known = true;
  inspection->held = !granted;
  if (!granted) return {};
  error = Unlock(file, slot);
  if (!error.ok()) return error;
  // Not exclusively held; whether shared, only an exclusive try tells.
  error = TryLock(file, LockMode::kExclusive, &granted, slot);
  if (!error.ok()) return error;
  inspection->held = !granted;
  inspection->shared = !granted;
  return granted ? Unlock(file, slot) : Error{};
}

}  // namespace

Error Inspect(const LockRequest& request, Inspection* inspection) {
  LockLocation location;
  Error error = Locate(request, &location);
  if (!error.ok()) return error;
  inspection->path = location.path;
  error = InspectFileSystem(location.directory, &inspection->file_system);
  Handle file;
  FileStatus status;
  if (error.ok()) error = OpenLockFile(location.directory, location.name, &file, &status);
  if (error.ok() && file.valid())
    error = CheckOpenFile(location.directory, status, request.trust_any_owner);
  inspection->known = true;
  if (error.ok() && file.valid()) {
    error = ReadHolder(file.get(), &inspection->record);
    if (inspection->record.state == RecordState::kForeign) {
      error = Error::Refused(Refusal::kForeignContent, EINVAL, "read");
    }
    const KernelHolders holders = FindHolders(status.identity, inspection->record.record);
    inspection->pids = holders.pids;
    inspection->held = !holders.pids.empty();
    inspection->shared = holders.shared;
    // Of a lock that another machine holds this kernel knows nothing.
    inspection->known = inspection->held || (holders.complete && inspection->file_system.kind ==
                                                                     FileSystemClass::kLocal);
    if (error.ok() && !inspection->known)
      error = ProbeLock(file.get(), inspection->record.record.epoch, inspection);
    if (inspection->held) inspection->inheritors = FindInheritors(status.identity, holders.pids);
  }
  if (!error.ok()) error.path = location.path;
  const Record& holder = inspection->record.record;
  if (holder.has_holder()) inspection->liveness = InspectProcess(holder.pid, holder.start_token);
  return error;
}

}  // namespace holdfast
