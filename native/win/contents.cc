#include <algorithm>

#include "win.h"

namespace holdfast {

namespace {

// An operation on an overlapped handle is complete when its own event says so; on the others at once.
class Overlapped {
 public:
  explicit Overlapped(uint64_t offset)
      : event_(Owned(CreateEventW(nullptr, TRUE, FALSE, nullptr))) {
    overlapped_.Offset = static_cast<DWORD>(offset);
    overlapped_.OffsetHigh = static_cast<DWORD>(offset >> 32);
    overlapped_.hEvent = HandleOf(event_);
  }

  OVERLAPPED* get() { return &overlapped_; }

  // What a call came to that answered `done`.
  DWORD Finish(HANDLE file, BOOL done, DWORD* count) {
    if (!done && GetLastError() != ERROR_IO_PENDING) return GetLastError();
    if (system_calls.get_overlapped_result(file, &overlapped_, count, TRUE)) return ERROR_SUCCESS;
    return GetLastError();
  }

 private:
  // CreateEventW() has no handle of -1 for a failure but 0, which no call takes for an event.
  Handle event_;
  OVERLAPPED overlapped_{};
};

// More than this the system does not take at once.
constexpr size_t kMaxPiece = 1U << 30;

}  // namespace

Error ReadAt(NativeHandle file, uint64_t offset, char* buffer, size_t size, size_t* read) {
  size_t done = 0;
  while (done < size) {
    Overlapped overlapped(offset + done);
    const auto piece = static_cast<DWORD>(std::min(size - done, kMaxPiece));
    DWORD count = 0;
    const BOOL result = ReadFile(HandleOf(file), buffer + done, piece, nullptr, overlapped.get());
    const DWORD code = overlapped.Finish(HandleOf(file), result, &count);
    if (code != ERROR_SUCCESS && code != ERROR_HANDLE_EOF) return FromWin32(code, "read");
    if (count == 0) break;
    done += count;
  }
  *read = done;
  return {};
}

Error WriteAt(NativeHandle file, uint64_t offset, const char* buffer, size_t size) {
  size_t done = 0;
  while (done < size) {
    Overlapped overlapped(offset + done);
    const auto piece = static_cast<DWORD>(std::min(size - done, kMaxPiece));
    DWORD count = 0;
    const BOOL result =
        system_calls.write_file(HandleOf(file), buffer + done, piece, nullptr, overlapped.get());
    const DWORD code = overlapped.Finish(HandleOf(file), result, &count);
    if (code != ERROR_SUCCESS) return FromWin32(code, "write");
    if (count == 0) return Error::FromSystem(EIO, "write");
    done += count;
  }
  return {};
}

Error Append(NativeHandle file, const char* buffer, size_t size, size_t* written) {
  // WriteFile() takes an offset of all ones for the end of the file.
  constexpr uint64_t kEndOfFile = ~uint64_t{0};
  *written = 0;
  while (*written < size) {
    Overlapped overlapped(kEndOfFile);
    const auto piece = static_cast<DWORD>(std::min(size - *written, kMaxPiece));
    DWORD count = 0;
    const BOOL result = system_calls.write_file(HandleOf(file), buffer + *written, piece, nullptr,
                                                overlapped.get());
    const DWORD code = overlapped.Finish(HandleOf(file), result, &count);
    if (code != ERROR_SUCCESS) return FromWin32(code, "write");
    if (count == 0) return Error::FromSystem(EIO, "write");
    *written += count;
  }
  return {};
}

Error Truncate(NativeHandle file, uint64_t size) {
  FILE_END_OF_FILE_INFO info;
  info.EndOfFile.QuadPart = static_cast<LONGLONG>(size);
  if (!system_calls.set_file_information(HandleOf(file), FileEndOfFileInfo, &info, sizeof(info))) {
    return LastError("ftruncate");
  }
  return {};
}

Error Reserve(NativeHandle file, uint64_t size) {
  FILE_STANDARD_INFO standard;
  if (!system_calls.get_file_information(HandleOf(file), FileStandardInfo, &standard,
                                         sizeof(standard))) {
    return LastError("fstat");
  }
  // Setting less than there is would cut the file off.
  if (size <= static_cast<uint64_t>(standard.EndOfFile.QuadPart)) return {};
  FILE_ALLOCATION_INFO info;
  info.AllocationSize.QuadPart = static_cast<LONGLONG>(size);
  if (system_calls.set_file_information(HandleOf(file), FileAllocationInfo, &info, sizeof(info))) {
    return {};
  }
  const DWORD code = GetLastError();
  return IsUnknownRequest(code) ? Error{} : FromWin32(code, "fallocate");
}

Error Flush(NativeHandle file, Durability durability) {
  // Windows reports nothing when a file is closed.
  if (durability == Durability::kNone) return {};
  if (!system_calls.flush_file_buffers(HandleOf(file))) return LastError("fsync");
  return {};
}

Error FlushDirectory(const Directory& directory, bool* flushed) {
  if (flushed != nullptr) *flushed = true;
  OpenRequest request;
  request.parent = HandleOf(directory.handle);
  request.access = FILE_LIST_DIRECTORY | FILE_ADD_FILE;
  Handle handle;
  const NTSTATUS status = Open(request, &handle);
  if (status < 0) return FromStatus(status, "open");
  if (system_calls.flush_file_buffers(HandleOf(handle))) return {};
  // Not every file system knows how to flush a directory.
  const DWORD code = GetLastError();
  const bool unknown = IsUnknownRequest(code) || code == ERROR_INVALID_HANDLE;
  return unknown ? Error{} : FromWin32(code, "fsync");
}

Error StampModified(NativeHandle handle, uint64_t previous) {
  const HANDLE file = HandleOf(handle);
  FILE_BASIC_INFO basic;
  const auto inspect = [&] {
    return system_calls.get_file_information(file, FileBasicInfo, &basic, sizeof(basic)) != 0;
  };
  const auto stamp = [&](int64_t ticks) {
    FILE_BASIC_INFO change{};  // a time of 0 is left as it is
    // So are attributes of 0, but not in Wine, which takes them for none.
    change.FileAttributes = basic.FileAttributes;
    change.LastWriteTime.QuadPart = ticks;
    return system_calls.set_file_information(file, FileBasicInfo, &change, sizeof(change)) != 0;
  };
  FILETIME now;
  GetSystemTimePreciseAsFileTime(&now);
  const int64_t ticks = (static_cast<int64_t>(now.dwHighDateTime) << 32) | now.dwLowDateTime;
  if (!inspect()) return LastError("fstat");
  if (!stamp(ticks)) return LastError("futimes");
  if (previous == 0) return {};
  if (!inspect()) return LastError("fstat");
  const int64_t stamped = basic.LastWriteTime.QuadPart;
  if (NanosecondsSince1970(stamped) != previous) return {};
  // No file system counts in more than two seconds (FAT).
  constexpr int64_t kTicksInTwoSeconds = 20000000;
  return stamp(stamped + kTicksInTwoSeconds) ? Error{} : LastError("futimes");
}

Error SetModified(NativeHandle handle, uint64_t modified) {
  const HANDLE file = HandleOf(handle);
  FILE_BASIC_INFO basic;
  if (!system_calls.get_file_information(file, FileBasicInfo, &basic, sizeof(basic))) {
    return LastError("fstat");
  }
  FILE_BASIC_INFO change{};
  change.FileAttributes = basic.FileAttributes;  // for Wine, as above
  change.LastWriteTime.QuadPart = TicksOf(modified);
  if (!system_calls.set_file_information(file, FileBasicInfo, &change, sizeof(change))) {
    return LastError("futimes");
  }
  return {};
}

// A file has an access list, which no number of a status tells.
bool HasExactMode(const FileStatus&, uint32_t) { return false; }

// What publishes a file sets its time as precisely, and no removed file's number is given to another one.
Error StampVersion(NativeHandle) { return {}; }

uint64_t BirthTime(NativeHandle file) {
  FILE_BASIC_INFO basic;
  if (!system_calls.keeps_creation_times ||
      !system_calls.get_file_information(HandleOf(file), FileBasicInfo, &basic, sizeof(basic))) {
    return 0;
  }
  return static_cast<uint64_t>(basic.CreationTime.QuadPart);
}

}  // namespace holdfast
