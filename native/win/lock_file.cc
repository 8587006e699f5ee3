// Locks are LockFileEx() on one byte far beyond the end of the lock file: locks are mandatory, and the record has to stay
// readable for others.
#include "win.h"

namespace holdfast {

namespace {

struct Range {
  uint64_t offset;
  DWORD length_low;
  DWORD length_high;
};

constexpr Range ByteOf(LockSlot slot) { return {OffsetOf(slot), 1, 0}; }
// All that a file may contain, and not the byte of a temporary file's lock.
constexpr Range kContents = {0, 0, 1U << 29};

OVERLAPPED At(uint64_t offset, HANDLE event) {
  OVERLAPPED overlapped{};
  overlapped.Offset = static_cast<DWORD>(offset);
  overlapped.OffsetHigh = static_cast<DWORD>(offset >> 32);
  overlapped.hEvent = event;
  return overlapped;
}

Error TryRange(NativeHandle file, const Range& range, DWORD flags, bool* granted) {
  *granted = false;
  Handle event = Owned(CreateEventW(nullptr, TRUE, FALSE, nullptr));
  OVERLAPPED overlapped = At(range.offset, HandleOf(event));
  if (system_calls.lock_file(HandleOf(file), flags | LOCKFILE_FAIL_IMMEDIATELY, 0, range.length_low,
                             range.length_high, &overlapped)) {
    *granted = true;
    return {};
  }
  DWORD code = GetLastError();
  DWORD count = 0;
  // An overlapped handle may have the answer come later, also this one.
  if (code == ERROR_IO_PENDING) {
    *granted = system_calls.get_overlapped_result(HandleOf(file), &overlapped, &count, TRUE) != 0;
    if (*granted) return {};
    code = GetLastError();
  }
  if (code == ERROR_LOCK_VIOLATION) return {};
  return FromWin32(code, "LockFileEx");
}

}  // namespace

const bool kLockFilesHaveSlots = true;

Error TryLock(NativeHandle file, LockMode mode, bool* granted, LockSlot slot) {
  return TryRange(file, ByteOf(slot), mode == LockMode::kExclusive ? LOCKFILE_EXCLUSIVE_LOCK : 0,
                  granted);
}

Error TryLockContents(NativeHandle file, bool* granted) {
  return TryRange(file, kContents, LOCKFILE_EXCLUSIVE_LOCK, granted);
}

Error Unlock(NativeHandle file, LockSlot slot) {
  Handle event = Owned(CreateEventW(nullptr, TRUE, FALSE, nullptr));
  OVERLAPPED overlapped = At(OffsetOf(slot), HandleOf(event));
  if (!system_calls.unlock_file(HandleOf(file), 0, 1, 0, &overlapped)) {
    return LastError("UnlockFileEx");
  }
  return {};
}

// A lock file is never put in another's place, and its guard is a byte of it: those who may use it remain the same.
Error KeepAccess(NativeHandle, const FileStatus&, uint32_t mode, NativeHandle to) {
  return SetMode(to, mode);
}

// Windows names no holders.
KernelHolders FindKernelHolders(const FileIdentity&) { return {}; }
// A lock belongs to the process that took it, and no child inherits it.
std::vector<int64_t> FindInheritors(const FileIdentity&, const std::vector<int64_t>&) { return {}; }

}  // namespace holdfast
