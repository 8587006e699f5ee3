#include "win.h"

namespace holdfast {

namespace {

// Some numbers are written out, since not every compiler's headers have a name for them.
struct Entry {
  DWORD code;
  int number;
};

// What libuv makes of the codes, so that an error looks like Node's; from the second blank line on, what it does not know.
constexpr Entry kTable[] = {
    {ERROR_ACCESS_DENIED, EPERM},
    {ERROR_PRIVILEGE_NOT_HELD, EPERM},
    {ERROR_NOACCESS, EACCES},
    {740, EACCES},   // ERROR_ELEVATION_REQUIRED
    {1920, EACCES},  // ERROR_CANT_ACCESS_FILE: a reparse point that nobody here knows
    {ERROR_ALREADY_EXISTS, EEXIST},
    {ERROR_FILE_EXISTS, EEXIST},
    {ERROR_LOCK_VIOLATION, EBUSY},
    {ERROR_PIPE_BUSY, EBUSY},
    {ERROR_SHARING_VIOLATION, EBUSY},
    {ERROR_INVALID_HANDLE, EBADF},
    {ERROR_OPERATION_ABORTED, ECANCELED},
    {ERROR_BAD_PATHNAME, ENOENT},
    {ERROR_DIRECTORY, ENOENT},
    {ERROR_FILE_NOT_FOUND, ENOENT},
    {ERROR_INVALID_DRIVE, ENOENT},
    {ERROR_INVALID_NAME, ENOENT},
    {ERROR_INVALID_REPARSE_DATA, ENOENT},
    {ERROR_PATH_NOT_FOUND, ENOENT},
    {ERROR_CANT_RESOLVE_FILENAME, ELOOP},
    {ERROR_TOO_MANY_OPEN_FILES, EMFILE},
    {ERROR_NOT_ENOUGH_MEMORY, ENOMEM},
    {ERROR_OUTOFMEMORY, ENOMEM},
    {ERROR_CANNOT_MAKE, ENOSPC},
    {ERROR_DISK_FULL, ENOSPC},
    {ERROR_HANDLE_DISK_FULL, ENOSPC},
    {ERROR_DIR_NOT_EMPTY, ENOTEMPTY},
    {ERROR_NOT_SUPPORTED, ENOTSUP},
    {ERROR_INVALID_FUNCTION, EISDIR},
    {ERROR_INVALID_PARAMETER, EINVAL},
    {ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG},
    {ERROR_NOT_SAME_DEVICE, EXDEV},
    {ERROR_WRITE_PROTECT, EROFS},
    {ERROR_SEM_TIMEOUT, ETIMEDOUT},
    {ERROR_NETNAME_DELETED, ECONNRESET},
    {ERROR_CRC, EIO},
    {ERROR_DISK_CORRUPT, EIO},
    {ERROR_GEN_FAILURE, EIO},
    {ERROR_IO_DEVICE, EIO},
    {ERROR_OPEN_FAILED, EIO},
    {ERROR_SECTOR_NOT_FOUND, EIO},

    {ERROR_DELETE_PENDING, EBUSY},
    {ERROR_USER_MAPPED_FILE, EBUSY},
    {ERROR_UNABLE_TO_REMOVE_REPLACED, EBUSY},
    {ERROR_UNABLE_TO_MOVE_REPLACEMENT, EBUSY},
    {ERROR_UNABLE_TO_MOVE_REPLACEMENT_2, EBUSY},
    {1295, EDQUOT},  // ERROR_DISK_QUOTA_EXCEEDED
    {681, ELOOP},    // ERROR_STOPPED_ON_SYMLINK
    {ERROR_DEV_NOT_EXIST, ENOENT},
    {ERROR_BAD_NETPATH, ENOENT},
    {ERROR_BAD_NET_NAME, ENOENT},
    {ERROR_NO_SYSTEM_RESOURCES, ENOMEM},
    {ERROR_WORKING_SET_QUOTA, ENOMEM},
    {ERROR_INVALID_OWNER, EPERM},
};

// libuv's UV_UNKNOWN.
constexpr int kUnknown = 4094;

int NumberOf(DWORD code) {
  for (const Entry& entry : kTable) {
    if (entry.code == code) return entry.number;
  }
  return kUnknown;
}

bool IsTransient(DWORD code) {
  return code == ERROR_SHARING_VIOLATION || code == ERROR_LOCK_VIOLATION ||
         code == ERROR_USER_MAPPED_FILE || code == ERROR_DELETE_PENDING;
}

}  // namespace

Error FromWin32(DWORD code, const char* syscall) {
  Error error = Error::FromSystem(NumberOf(code), syscall);
  error.system_code = code;
  error.transient = IsTransient(code);
  return error;
}

Error FromStatus(NTSTATUS status, const char* syscall) {
  // Win32 calls a name that is being deleted a denied access, which it is not.
  if (status == kDeletePending) return FromWin32(ERROR_DELETE_PENDING, syscall);
  return FromWin32(system_calls.nt_status_to_dos_error(status), syscall);
}

}  // namespace holdfast
