#include "calls.h"

namespace holdfast {

namespace {

template <typename Function>
Function FromNtdll(const char* name) {
  // ntdll is part of every process.
  const auto address = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), name);
  return reinterpret_cast<Function>(reinterpret_cast<void*>(address));
}

bool IsWine() { return FromNtdll<void*>("wine_get_version") != nullptr; }

}  // namespace

SystemCalls system_calls = {
    ::CreateFileW,
    ::GetFileAttributesW,
    ::GetFileInformationByHandleEx,
    ::SetFileInformationByHandle,
    ::LockFileEx,
    ::UnlockFileEx,
    ::CancelIoEx,
    ::GetOverlappedResult,
    ::WriteFile,
    ::FlushFileBuffers,
    ::ReplaceFileW,
    FromNtdll<NtCreateFileFunction>("NtCreateFile"),
    FromNtdll<NtSetInformationFileFunction>("NtSetInformationFile"),
    FromNtdll<RtlNtStatusToDosErrorFunction>("RtlNtStatusToDosError"),
    !IsWine(),
    !IsWine(),
    !IsWine(),
};

}  // namespace holdfast
