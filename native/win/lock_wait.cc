// A wait is an overlapped LockFileEx(), which the system completes when it grants the lock. To end it before, it is
// cancelled and then drained: the system must be done with the OVERLAPPED before that goes away, and the lock may have
// been granted in the meantime, which then counts.
#include <atomic>

#include "win.h"

namespace holdfast {

namespace {

class OverlappedLockWait : public LockWait {
 public:
  OverlappedLockWait(NativeHandle file, LockMode mode, LockSlot slot, Handle granted,
                     Handle interrupted)
      : file_(HandleOf(file)),
        offset_(OffsetOf(slot)),
        flags_(mode == LockMode::kExclusive ? LOCKFILE_EXCLUSIVE_LOCK : 0),
        granted_(std::move(granted)),
        interrupted_(std::move(interrupted)) {}

  WaitResult Run(Error* error) override {
    OVERLAPPED overlapped{};
    overlapped.Offset = static_cast<DWORD>(offset_);
    overlapped.OffsetHigh = static_cast<DWORD>(offset_ >> 32);
    overlapped.hEvent = HandleOf(granted_);
    if (system_calls.lock_file(file_, flags_, 0, 1, 0, &overlapped)) return WaitResult::kGranted;
    if (GetLastError() != ERROR_IO_PENDING) {
      *error = LastError("LockFileEx");
      return WaitResult::kFailed;
    }
    const HANDLE events[] = {HandleOf(granted_), HandleOf(interrupted_)};
    const DWORD woken = WaitForMultipleObjects(2, events, FALSE, INFINITE);
    // ERROR_NOT_FOUND says that there is nothing to cancel any more; what came of it, the result tells.
    if (woken != WAIT_OBJECT_0) system_calls.cancel_io(file_, &overlapped);
    DWORD count = 0;
    if (system_calls.get_overlapped_result(file_, &overlapped, &count, TRUE)) {
      return WaitResult::kGranted;
    }
    const DWORD code = GetLastError();
    // Cancelled by somebody else it is a failure: nobody asked for the end of this wait.
    if (code == ERROR_OPERATION_ABORTED && woken == WAIT_OBJECT_0 + 1) {
      return WaitResult::kInterrupted;
    }
    *error = FromWin32(code, "LockFileEx");
    return WaitResult::kFailed;
  }

  void Interrupt() override { SetEvent(HandleOf(interrupted_)); }

 private:
  const HANDLE file_;
  const uint64_t offset_;
  const DWORD flags_;
  const Handle granted_;
  const Handle interrupted_;
};

Handle NewEvent() {
  HANDLE event = CreateEventW(nullptr, /*bManualReset=*/TRUE, FALSE, nullptr);
  return event == nullptr ? Handle() : Owned(event);
}

}  // namespace

std::unique_ptr<LockWait> NewLockWait(NativeHandle file, LockMode mode, FileSystemClass kind,
                                      LockSlot slot) {
  if (kind != FileSystemClass::kLocal || !system_calls.grants_pending_locks) return nullptr;
  Handle granted = NewEvent();
  Handle interrupted = NewEvent();
  if (!granted.valid() || !interrupted.valid()) return nullptr;
  return std::make_unique<OverlappedLockWait>(file, mode, slot, std::move(granted),
                                              std::move(interrupted));
}

}  // namespace holdfast
