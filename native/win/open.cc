// Everything is opened by NtCreateFile() relative to the handle of its directory, so that a directory that is renamed or
// replaced on the way cannot redirect what follows; and without following a reparse point, which is then looked at on
// the handle.
#include <algorithm>

#include "win.h"

namespace holdfast {

namespace {

constexpr ULONG kDirectoryFile = 0x1;
constexpr ULONG kSynchronousIo = 0x20;
constexpr ULONG kOpenForBackup = 0x4000;
constexpr ULONG kOpenReparsePoint = 0x200000;
constexpr ULONG kCaseInsensitive = 0x40;

// IO_REPARSE_TAG_RESERVED_ONE, which nothing has: stands for a tag that the file system does not tell.
constexpr DWORD kUntoldTag = 1;

constexpr ACCESS_MASK kDirectoryAccess = FILE_TRAVERSE | FILE_READ_ATTRIBUTES | SYNCHRONIZE;

uint64_t Combine(const LARGE_INTEGER& value) { return static_cast<uint64_t>(value.QuadPart); }

// The system calls a name invalid that no file system has room for, and Node what is invalid absent. One that is too long
// for the kernel itself would be cut off, and be another name.
bool IsTooLong(const std::wstring& name) {
  constexpr size_t kMaxName = 255;
  if (name.size() > UNICODE_STRING_MAX_CHARS) return true;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find(L'\\', begin), name.size());
    if (end - begin > kMaxName) return true;
    begin = end + 1;
  }
  return false;
}

// 128 bits where the file system has them (ReFS), else 64.
Error IdentityOf(HANDLE file, FileIdentity* identity) {
  FILE_ID_INFO info;
  if (system_calls.get_file_information(file, FileIdInfo, &info, sizeof(info))) {
    identity->device = info.VolumeSerialNumber;
    static_assert(sizeof(info.FileId) == 16, "a file id has 128 bits");
    memcpy(&identity->inode, info.FileId.Identifier, 8);
    memcpy(&identity->inode_high, info.FileId.Identifier + 8, 8);
    return {};
  }
  BY_HANDLE_FILE_INFORMATION plain;
  if (!GetFileInformationByHandle(file, &plain)) return LastError("fstat");
  identity->device = plain.dwVolumeSerialNumber;
  identity->inode = (static_cast<uint64_t>(plain.nFileIndexHigh) << 32) | plain.nFileIndexLow;
  return {};
}

FileKind KindOf(const FILE_STANDARD_INFO& standard, DWORD tag) {
  if (IsNameSurrogate(tag)) return FileKind::kLink;
  if (tag != 0 && !IsPlaceholder(tag)) return FileKind::kOther;
  return standard.Directory ? FileKind::kDirectory : FileKind::kRegular;
}

// What a handle says that was opened without following must be checked before the file is used.
Error CheckTag(HANDLE file, DWORD* tag) {
  Error error = ReparseTag(file, tag);
  if (!error.ok() || *tag == 0 || IsPlaceholder(*tag)) return error;
  return Error::Refused(Refusal::kLink, ELOOP, "open");
}

// A placeholder that was opened without following it reads as its stub: it is opened again the usual way, and must be
// the same file.
Error OpenThrough(OpenRequest request, const Handle& stub, Handle* file) {
  FileIdentity expected;
  FileIdentity found;
  Error error = IdentityOf(HandleOf(stub), &expected);
  if (!error.ok()) return error;
  request.follow = true;
  const NTSTATUS status = Open(request, file);
  if (status < 0) return FromStatus(status, "open");
  error = IdentityOf(HandleOf(*file), &found);
  if (error.ok() && found != expected) {
    file->Reset();
    error = Error::Refused(Refusal::kLink, ELOOP, "open");
  }
  return error;
}

// Asked for only where it is needed: opening a file for its attributes alone is never held up by those who have it open.
int64_t OwnerOfName(const Directory& directory, const std::string& name) {
  OpenRequest request;
  request.parent = HandleOf(directory.handle);
  request.name = ToWide(name);
  request.access = READ_CONTROL;
  Handle file;
  return Open(request, &file) < 0 ? -1 : OwnerOf(HandleOf(file));
}

// Why an existing name could not be opened as a file.
Error RefusalToOpen(const Directory& directory, const std::string& name, NTSTATUS reason) {
  const Error plain = FromStatus(reason, "open");
  FileStatus status;
  Error error = InspectName(directory, name, &status);
  if (!error.ok()) return plain;
  if (status.kind == FileKind::kLink) return Error::Refused(Refusal::kLink, ELOOP, "open");
  if (status.kind == FileKind::kDirectory || status.kind == FileKind::kOther) {
    return Error::Refused(Refusal::kNotRegular, EINVAL, "open");
  }
  if (status.kind != FileKind::kRegular || plain.number != EPERM) return plain;
  Error refused =
      Error::Refused(Refusal::kNoAccess, plain.number, "open", {}, OwnerOfName(directory, name));
  refused.system_code = plain.system_code;
  return refused;
}

Error OpenChecked(const Directory& directory, const std::string& name, OpenRequest request,
                  Handle* handle, FileStatus* status) {
  request.parent = HandleOf(directory.handle);
  request.name = ToWide(name);
  Handle file;
  const NTSTATUS result = Open(request, &file);
  if (IsAbsent(result)) return {};
  if (result < 0) return RefusalToOpen(directory, name, result);
  DWORD tag = 0;
  Error error = CheckTag(HandleOf(file), &tag);
  if (error.ok() && tag != 0) {
    Handle stub = std::move(file);
    error = OpenThrough(request, stub, &file);
  }
  if (error.ok()) error = DescribeFile(HandleOf(file), status);
  if (!error.ok()) return error;
  if (status->kind != FileKind::kRegular) {
    return Error::Refused(Refusal::kNotRegular, EINVAL, "open");
  }
  // Wine lets a superuser have it.
  if ((request.access & FILE_WRITE_DATA) != 0 && (status->mode & kOwnerWrite) == 0) {
    return FromWin32(ERROR_ACCESS_DENIED, "open");
  }
  status->owner = OwnerOf(HandleOf(file));
  *handle = std::move(file);
  return {};
}

}  // namespace

bool IsAbsent(NTSTATUS status) {
  // A name that is being deleted leads nowhere, although it cannot be used again yet.
  return status == kNameNotFound || status == kNoSuchFile || status == kDeletePending;
}

void CloseNativeHandle(NativeHandle handle) { CloseHandle(HandleOf(handle)); }

NTSTATUS Open(const OpenRequest& request, Handle* handle) {
  if (IsTooLong(request.name)) return kNameTooLong;
  UNICODE_STRING name;
  name.Buffer = const_cast<wchar_t*>(request.name.data());
  name.Length = static_cast<USHORT>(request.name.size() * sizeof(wchar_t));
  name.MaximumLength = name.Length;
  OBJECT_ATTRIBUTES attributes;
  attributes.Length = sizeof(attributes);
  attributes.RootDirectory = request.parent;
  attributes.ObjectName = &name;
  attributes.Attributes = kCaseInsensitive;  // and not OBJ_INHERIT: no child process gets it
  attributes.SecurityDescriptor = request.security;
  attributes.SecurityQualityOfService = nullptr;
  ULONG options = request.options | kOpenForBackup;
  if (!request.overlapped) options |= kSynchronousIo;
  if (!request.follow) options |= kOpenReparsePoint;
  HANDLE opened = INVALID_HANDLE_VALUE;
  IO_STATUS_BLOCK block;
  const NTSTATUS status = system_calls.nt_create_file(
      &opened, request.access | SYNCHRONIZE, &attributes, &block, nullptr, request.attributes,
      kShareAll, request.disposition, options, nullptr, 0);
  if (status >= 0) *handle = Owned(opened);
  return status;
}

bool IsNameSurrogate(DWORD tag) { return (tag & 0x20000000U) != 0; }

bool IsPlaceholder(DWORD tag) {
  // The cloud has sixteen of them, which differ in one digit.
  constexpr DWORD kCloud = 0x9000001A;
  constexpr DWORD kCloudMask = 0xFFFF0FFF;
  if ((tag & kCloudMask) == kCloud) return true;
  switch (tag) {
    case 0x80000021:  // OneDrive
    case 0x80000013:  // data deduplication
    case 0x80000017:  // compressed by the system (WOF)
    case 0x80000008:  // mounted image (WIM)
    case 0x9000001C:  // projected file system
    case 0x8000001E:  // storage sync
    case 0x90000027:  // and its directories
    case 0xC0000004:  // hierarchical storage
    case 0x80000006:
      return true;
    default:
      return false;
  }
}

Error ReparseTag(HANDLE file, DWORD* tag) {
  FILE_ATTRIBUTE_TAG_INFO info;
  if (!system_calls.get_file_information(file, FileAttributeTagInfo, &info, sizeof(info))) {
    // File systems without reparse points do not know the question.
    const DWORD code = GetLastError();
    FILE_BASIC_INFO basic;
    if (!IsUnknownRequest(code) ||
        !system_calls.get_file_information(file, FileBasicInfo, &basic, sizeof(basic))) {
      return FromWin32(code, "fstat");
    }
    info = {basic.FileAttributes, 0};
  }
  *tag = 0;
  if ((info.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) == 0) return {};
  *tag = info.ReparseTag != 0 ? info.ReparseTag : kUntoldTag;
  return {};
}

Error DescribeFile(HANDLE file, FileStatus* status) {
  FILE_BASIC_INFO basic;
  FILE_STANDARD_INFO standard;
  if (!system_calls.get_file_information(file, FileBasicInfo, &basic, sizeof(basic)) ||
      !system_calls.get_file_information(file, FileStandardInfo, &standard, sizeof(standard))) {
    return LastError("fstat");
  }
  DWORD tag = 0;
  Error error;
  if ((basic.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0) error = ReparseTag(file, &tag);
  if (error.ok()) error = IdentityOf(file, &status->identity);
  if (!error.ok()) return error;
  status->kind = KindOf(standard, tag);
  // A file that is being deleted has lost its name.
  status->link_count = standard.DeletePending ? 0 : standard.NumberOfLinks;
  status->size = Combine(standard.EndOfFile);
  status->allocated = Combine(standard.AllocationSize);
  status->mode = (basic.FileAttributes & FILE_ATTRIBUTE_READONLY) != 0 ? 0444 : 0666;
  status->changed = Combine(basic.LastWriteTime);
  status->modified = NanosecondsSince1970(basic.LastWriteTime.QuadPart);
  return {};
}

Error InspectName(const Directory& directory, const std::string& name, FileStatus* status) {
  OpenRequest request;
  request.parent = HandleOf(directory.handle);
  request.name = ToWide(name);
  request.access = FILE_READ_ATTRIBUTES;
  Handle file;
  const NTSTATUS result = Open(request, &file);
  *status = FileStatus{};
  if (IsAbsent(result)) return {};
  if (result < 0) return FromStatus(result, "lstat");
  Error error = DescribeFile(HandleOf(file), status);
  // Wine opens also a directory that is being deleted.
  if (error.ok() && status->link_count == 0) *status = FileStatus{};
  return error;
}

Error InspectFile(NativeHandle file, FileStatus* status) {
  *status = FileStatus{};
  return DescribeFile(HandleOf(file), status);
}

Error OpenFile(const Directory& directory, const std::string& name, FileAccess access,
               Handle* handle, FileStatus* status) {
  OpenRequest request;
  request.access = FILE_GENERIC_READ;
  if (access != FileAccess::kRead) request.access |= FILE_GENERIC_WRITE;
  return OpenChecked(directory, name, request, handle, status);
}

Error OpenLockFile(const Directory& directory, const std::string& name, Handle* handle,
                   FileStatus* status) {
  OpenRequest request;
  request.access = FILE_GENERIC_READ | FILE_GENERIC_WRITE;
  request.overlapped = true;  // a wait for the lock has to be one that can be cancelled
  return OpenChecked(directory, name, request, handle, status);
}

Error OpenChildDirectory(HANDLE parent, const std::wstring& name, bool follow, Handle* handle,
                         DWORD* tag) {
  OpenRequest request;
  request.parent = parent;
  request.name = name;
  request.access = kDirectoryAccess | READ_CONTROL;
  request.options = kDirectoryFile;
  request.follow = follow;
  NTSTATUS status = Open(request, handle);
  if (status == kAccessDenied) {
    request.access = kDirectoryAccess;
    status = Open(request, handle);
  }
  if (status == kPathNotFound) return FromWin32(ERROR_PATH_NOT_FOUND, "open");
  if (status < 0) return FromStatus(status, "open");
  if (follow) return {};
  DWORD found = 0;
  Error error = CheckTag(HandleOf(*handle), &found);
  if (tag != nullptr) *tag = found;
  if (!error.ok() || found == 0) return error;
  const Handle stub = std::move(*handle);
  return OpenThrough(request, stub, handle);
}

Error DescribeDirectory(Handle handle, Directory* directory) {
  Error error = IdentityOf(HandleOf(handle), &directory->identity);
  if (!error.ok()) return error;
  directory->owner = OwnerOf(HandleOf(handle));
  constexpr ACCESS_MASK kChangeNames = FILE_ADD_FILE | FILE_DELETE_CHILD;
  directory->others_can_write = GrantsOthers(HandleOf(handle), kChangeNames, directory->owner);
  const bool others = GrantsOthers(HandleOf(handle), FILE_ALL_ACCESS, directory->owner);
  directory->mode = directory->others_can_write ? 0777 : others ? 0755 : 0700;
  directory->handle = std::move(handle);
  return {};
}

}  // namespace holdfast
