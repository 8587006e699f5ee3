// What the files of the Windows port share. Nothing outside native/win includes it.
#ifndef HOLDFAST_WIN_WIN_H_
#define HOLDFAST_WIN_WIN_H_

#include <string>
#include <vector>

#include "../platform.h"
#include "calls.h"

namespace holdfast {

inline HANDLE HandleOf(NativeHandle handle) { return reinterpret_cast<HANDLE>(handle); }
inline HANDLE HandleOf(const Handle& handle) { return HandleOf(handle.get()); }
inline Handle Owned(HANDLE handle) { return Handle(reinterpret_cast<NativeHandle>(handle)); }

// ---- Errors: error.cc ----

Error FromWin32(DWORD code, const char* syscall);
Error FromStatus(NTSTATUS status, const char* syscall);
inline Error LastError(const char* syscall) { return FromWin32(GetLastError(), syscall); }

// Not every compiler's headers have these, or under names that do not clash with <windows.h>.
constexpr auto kAccessDenied = static_cast<NTSTATUS>(0xC0000022);
constexpr auto kDeletePending = static_cast<NTSTATUS>(0xC0000056);
constexpr auto kNameCollision = static_cast<NTSTATUS>(0xC0000035);
constexpr auto kNameNotFound = static_cast<NTSTATUS>(0xC0000034);
constexpr auto kNameTooLong = static_cast<NTSTATUS>(0xC0000106);
constexpr auto kNoSuchFile = static_cast<NTSTATUS>(0xC000000F);
constexpr auto kPathNotFound = static_cast<NTSTATUS>(0xC000003A);
constexpr auto kSharingViolation = static_cast<NTSTATUS>(0xC0000043);

// What a file system says that does not know what it is asked for.
inline bool IsUnknownRequest(DWORD code) {
  return code == ERROR_INVALID_PARAMETER || code == ERROR_INVALID_FUNCTION ||
         code == ERROR_NOT_SUPPORTED || code == ERROR_CALL_NOT_IMPLEMENTED ||
         code == ERROR_INVALID_LEVEL;
}

// ---- Text: text.cc ----

std::wstring ToWide(const std::string& text);
std::string ToUtf8(const std::wstring& text);
// An absolute path in the form that has no limit of 260 characters and is taken literally.
std::wstring ToNamespacedPath(const std::string& path);

// ---- Opening: open.cc ----

constexpr DWORD kShareAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

// What NtCreateFile() is asked for. `name` is one component; an empty one opens what the parent handle leads to again.
struct OpenRequest {
  HANDLE parent = nullptr;
  std::wstring name;
  ACCESS_MASK access = 0;
  ULONG disposition = 1;  // FILE_OPEN
  ULONG options = 0;
  DWORD attributes = FILE_ATTRIBUTE_NORMAL;
  bool overlapped = false;
  bool follow = false;  // a reparse point at the name itself
  SECURITY_DESCRIPTOR* security = nullptr;
};

NTSTATUS Open(const OpenRequest& request, Handle* handle);

bool IsAbsent(NTSTATUS status);

// What the system calls a link: the file is another one than the name says.
bool IsNameSurrogate(DWORD tag);
// A placeholder of a kind that is known to stand for its own file.
bool IsPlaceholder(DWORD tag);
// The tag of an open file; 0 of one that is no reparse point.
Error ReparseTag(HANDLE file, DWORD* tag);

// FileStatus::modified of a time that the system counts in ticks since 1601.
constexpr uint64_t NanosecondsSince1970(int64_t ticks) {
  constexpr int64_t kTicksFrom1601To1970 = 116444736000000000;
  constexpr uint64_t kNanosecondsPerTick = 100;
  if (ticks < kTicksFrom1601To1970) return 0;
  return static_cast<uint64_t>(ticks - kTicksFrom1601To1970) * kNanosecondsPerTick;
}
// The other way round.
constexpr int64_t TicksOf(uint64_t nanoseconds) {
  constexpr int64_t kTicksFrom1601To1970 = 116444736000000000;
  constexpr uint64_t kNanosecondsPerTick = 100;
  return static_cast<int64_t>(nanoseconds / kNanosecondsPerTick) + kTicksFrom1601To1970;
}
Error DescribeFile(HANDLE file, FileStatus* status);

// Opens a directory below another by one name. With `follow` a link leads on, else it is Refusal::kLink. `*tag` is what the
// name itself is, if it was asked for.
Error OpenChildDirectory(HANDLE parent, const std::wstring& name, bool follow, Handle* handle,
                         DWORD* tag = nullptr);
Error DescribeDirectory(Handle handle, Directory* directory);

// ---- Locks: lock_file.cc ----

// The byte that is locked, far beyond the end of any lock file: locks are mandatory, and the record has to stay readable.
constexpr uint64_t kLockOffset = 1ULL << 62;
// The byte of a slot: the guard's comes before all others.
constexpr uint64_t OffsetOf(LockSlot slot) { return kLockOffset + slot; }
static_assert(OffsetOf(kGuardSlot) == kLockOffset - 1, "the guard's slot wraps around");

// ---- Access: security.cc ----

// A descriptor that gives this user full access, and nobody else any.
class PrivateDescriptor {
 public:
  PrivateDescriptor();
  SECURITY_DESCRIPTOR* get() { return &descriptor_; }
  PACL list() { return reinterpret_cast<PACL>(buffer_.data()); }

 private:
  std::vector<char> buffer_;
  SECURITY_DESCRIPTOR descriptor_{};
};

constexpr uint32_t kOwnerWrite = 0200;
inline bool IsPrivateMode(uint32_t mode) { return (mode & 077U) == 0; }

// A number for the owner, equal for equal owners; 0 for those who may do everything, -1 if it cannot be read.
int64_t OwnerOf(HANDLE file);
// Whether others than the owner, us and those who may do everything are given one of the rights in `mask`.
bool GrantsOthers(HANDLE file, ACCESS_MASK mask, int64_t owner);
// An access list, as it was read.
using AccessList = std::vector<char>;
Error ReadAccess(HANDLE file, AccessList* list);
Error WriteAccess(HANDLE file, AccessList list);
Error SetReadOnly(HANDLE file, bool read_only);

// ---- Names: temporary_file.cc, replace_file.cc ----

// NtSetInformationFile() for FileRenameInformation and FileRenameInformationEx.
NTSTATUS Rename(HANDLE file, const Directory& directory, const std::string& name, int kind,
                ULONG flags);
constexpr int kRenameInformation = 10;
constexpr int kRenameInformationEx = 65;
constexpr ULONG kRenameReplace = 1;
constexpr ULONG kRenamePosix = 2;
// Whether the file goes away when its last handle is closed.
Error SetDeleteOnClose(HANDLE file, bool value);
// Opens a temporary file again that was written and closed, for all but writing.
Error ReopenTemporary(const Directory& directory, TemporaryFile* temporary);

}  // namespace holdfast

#endif  // HOLDFAST_WIN_WIN_H_
