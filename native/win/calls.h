// The system calls whose answers decide something, in one table: a test puts its own in place of those that cannot be
// made to happen for real. ntdll's are looked up, since not every compiler brings a library for them.
#ifndef HOLDFAST_WIN_CALLS_H_
#define HOLDFAST_WIN_CALLS_H_

#include <windows.h>
// after windows.h
#include <winternl.h>

namespace holdfast {

using NtCreateFileFunction = NTSTATUS(NTAPI*)(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES,
                                              PIO_STATUS_BLOCK, PLARGE_INTEGER, ULONG, ULONG, ULONG,
                                              ULONG, PVOID, ULONG);
using NtSetInformationFileFunction = NTSTATUS(NTAPI*)(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, int);
using RtlNtStatusToDosErrorFunction = ULONG(NTAPI*)(NTSTATUS);

struct SystemCalls {
  decltype(&::CreateFileW) create_file;
  decltype(&::GetFileAttributesW) get_file_attributes;
  decltype(&::GetFileInformationByHandleEx) get_file_information;
  decltype(&::SetFileInformationByHandle) set_file_information;
  decltype(&::LockFileEx) lock_file;
  decltype(&::UnlockFileEx) unlock_file;
  decltype(&::CancelIoEx) cancel_io;
  decltype(&::GetOverlappedResult) get_overlapped_result;
  decltype(&::WriteFile) write_file;
  decltype(&::FlushFileBuffers) flush_file_buffers;
  decltype(&::ReplaceFileW) replace_file;
  NtCreateFileFunction nt_create_file;
  NtSetInformationFileFunction nt_set_information_file;
  RtlNtStatusToDosErrorFunction nt_status_to_dos_error;
  // Whether the kernel grants a lock that is waited for: not in Wine, which says so and never does.
  bool grants_pending_locks;
  // Whether a file has the time at which it was made: in Wine that moves with every write.
  bool keeps_creation_times;
  // Whether a name that is removed with POSIX semantics is free at once: in Wine when nobody has the file open.
  bool frees_names_at_once;
};

extern SystemCalls system_calls;

}  // namespace holdfast

#endif  // HOLDFAST_WIN_CALLS_H_
