// A temporary file has a random name and goes away when its last handle is closed, be it by a kill, until the moment in
// which it is published. Nobody else can open it meanwhile.
#include "../leftovers.h"
#include "../temporary_name.h"
#include "win.h"

namespace holdfast {

namespace {

constexpr ULONG kCreateNew = 2;  // FILE_CREATE

constexpr ACCESS_MASK kTemporaryAccess =
    FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE | READ_CONTROL | WRITE_DAC;

NTSTATUS Create(const Directory& directory, const std::string& name, ACCESS_MASK access,
                uint32_t mode, Handle* file) {
  PrivateDescriptor descriptor;
  OpenRequest request;
  request.parent = HandleOf(directory.handle);
  request.name = ToWide(name);
  request.access = access;
  request.disposition = kCreateNew;
  request.overlapped = true;  // it may become a lock file
  if (IsPrivateMode(mode)) request.security = descriptor.get();
  return Open(request, file);
}

}  // namespace

Error SetDeleteOnClose(HANDLE file, bool value) {
  FILE_DISPOSITION_INFO info;
  info.DeleteFile = value ? TRUE : FALSE;
  const auto set = [&] {
    return system_calls.set_file_information(file, FileDispositionInfo, &info, sizeof(info)) != 0;
  };
  if (set()) return {};
  Error error = LastError("unlink");
  // A read-only file cannot be marked, but a marked one can be made read-only.
  if (error.system_code != ERROR_ACCESS_DENIED || !SetReadOnly(file, false).ok()) return error;
  error = set() ? Error{} : LastError("unlink");
  static_cast<void>(SetReadOnly(file, true));
  return error;
}

Error CreateTemporary(const Directory& directory, uint32_t mode, TemporaryFile* temporary) {
  *temporary = TemporaryFile{};
  std::string name;
  Error error = RandomName(kTemporarySuffix, &name);
  if (!error.ok()) return error;
  // Taking the old file's owner over needs one right more, which not everybody is given.
  NTSTATUS status = Create(directory, name, kTemporaryAccess | WRITE_OWNER, mode, &temporary->file);
  if (status == kAccessDenied) {
    status = Create(directory, name, kTemporaryAccess, mode, &temporary->file);
  }
  if (status < 0) return FromStatus(status, "open");
  temporary->name = name;
  // No lock is needed to tell others that somebody uses the file: they cannot open it.
  Error failure = SetDeleteOnClose(HandleOf(temporary->file), true);
  if (!failure.ok()) {
    DiscardTemporary(directory, temporary);
    return failure;
  }
  RemoveLeftovers(directory, temporary->file.get());
  return {};
}

Error ReopenTemporary(const Directory& directory, TemporaryFile* temporary) {
  OpenRequest request;
  request.parent = HandleOf(directory.handle);
  request.name = ToWide(temporary->name);
  // Its contents are whole, and by now it may be read-only.
  request.access = FILE_GENERIC_READ | FILE_WRITE_ATTRIBUTES | DELETE | READ_CONTROL | WRITE_DAC;
  request.overlapped = true;
  const NTSTATUS status = Open(request, &temporary->file);
  return status < 0 ? FromStatus(status, "open") : Error{};
}

Error PublishNew(const Directory& directory, TemporaryFile* temporary, const std::string& name,
                 bool* published) {
  *published = false;
  const HANDLE file = HandleOf(temporary->file);
  // Closing a file that was written to moves its time once more, unless it was set; what identifies it must not move.
  Error error = StampModified(temporary->file.get());
  if (error.ok()) error = SetDeleteOnClose(file, false);
  if (!error.ok()) return error;
  const NTSTATUS status = Rename(file, directory, name, kRenameInformation, 0);
  if (status >= 0) {
    temporary->name.clear();
    *published = true;
    return {};
  }
  static_cast<void>(SetDeleteOnClose(file, true));
  return status == kNameCollision ? Error{} : FromStatus(status, "rename");
}

Error ClaimWaitingName(const Directory& directory, TemporaryFile* temporary,
                       const std::string& name, bool* claimed) {
  const std::string waiting = WaitingName(name);
  *claimed = temporary->name == waiting;  // by a try before this one
  if (*claimed) return {};
  const HANDLE file = HandleOf(temporary->file);
  Error error = SetDeleteOnClose(file, false);
  if (!error.ok()) return error;
  NTSTATUS status = Rename(file, directory, waiting, kRenameInformation, 0);
  // While ReplaceFileW() is at work anybody can open a file, so that nothing but its age tells that it is left behind.
  if (status == kNameCollision &&
      RemoveLeftover(directory, waiting, temporary->file.get(), /*locked_before_named=*/false) ==
          Leftover::kRemoved) {
    status = Rename(file, directory, waiting, kRenameInformation, 0);
  }
  *claimed = status >= 0;
  if (*claimed) temporary->name = waiting;
  error = SetDeleteOnClose(file, true);
  if (status >= 0 || status == kNameCollision) return error;
  return FromStatus(status, "rename");
}

void DiscardTemporary(const Directory& directory, TemporaryFile* temporary) {
  if (!temporary->name.empty()) {
    if (!temporary->file.valid()) static_cast<void>(ReopenTemporary(directory, temporary));
    if (temporary->file.valid()) {
      static_cast<void>(SetDeleteOnClose(HandleOf(temporary->file), true));
    }
    temporary->name.clear();
  }
  temporary->file.Reset();
}

Error CreateEmpty(const Directory& directory, const std::string& name, uint32_t mode,
                  bool* created) {
  Handle file;
  const NTSTATUS status = Create(directory, name, kTemporaryAccess, mode, &file);
  *created = status >= 0;
  return *created || status == kNameCollision ? Error{} : FromStatus(status, "open");
}

}  // namespace holdfast
