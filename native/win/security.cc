// Windows has access lists where POSIX has a mode and an owner's number. Of a mode only this much can be kept: whether
// others than the owner get anything, and whether the owner may write.
#include <aclapi.h>

#include <array>

#include "win.h"

namespace holdfast {

namespace {

constexpr int64_t kSuperuser = 0;
constexpr int64_t kUnknownOwner = -1;

using SidBuffer = std::array<char, SECURITY_MAX_SID_SIZE>;

// The user of this process, read once: it does not change.
PSID OurSid() {
  static SidBuffer* const kSid = [] {
    auto* sid = new SidBuffer{};  // never freed: threads may outlive the environment
    HANDLE token = nullptr;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return sid;
    Handle owned = Owned(token);
    alignas(TOKEN_USER) std::array<char, sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE> buffer;
    DWORD size = 0;
    if (GetTokenInformation(token, TokenUser, buffer.data(), sizeof(buffer), &size)) {
      const auto* user = reinterpret_cast<const TOKEN_USER*>(buffer.data());
      CopySid(static_cast<DWORD>(sid->size()), sid->data(), user->User.Sid);
    }
    return sid;
  }();
  return kSid->data();
}

// S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464, to whom the system's own files belong.
bool IsTrustedInstaller(PSID sid) {
  constexpr DWORD kParts[] = {80, 956008885, 3418522649, 1831038044, 1853292631, 2271478464};
  if (*GetSidSubAuthorityCount(sid) != std::size(kParts)) return false;
  for (DWORD index = 0; index < std::size(kParts); index++) {
    if (*GetSidSubAuthority(sid, index) != kParts[index]) return false;
  }
  return true;
}

bool IsSuperuser(PSID sid) {
  return IsWellKnownSid(sid, WinLocalSystemSid) ||
         IsWellKnownSid(sid, WinBuiltinAdministratorsSid) || IsTrustedInstaller(sid);
}

int64_t NumberOf(PSID sid) {
  if (IsSuperuser(sid)) return kSuperuser;
  // FNV-1a: equal for equal owners, and never 0 or below.
  uint64_t hash = 14695981039346656037U;
  const auto* bytes = static_cast<const uint8_t*>(sid);
  for (DWORD index = 0; index < GetLengthSid(sid); index++) {
    hash = (hash ^ bytes[index]) * 1099511628211U;
  }
  return static_cast<int64_t>((hash >> 1) | 1);
}

// The descriptor of an open file, with the parts that are asked for.
class Descriptor {
 public:
  Error Read(HANDLE file, SECURITY_INFORMATION parts) {
    DWORD size = 0;
    GetKernelObjectSecurity(file, parts, nullptr, 0, &size);
    if (GetLastError() != ERROR_INSUFFICIENT_BUFFER) return LastError("fstat");
    buffer_.resize(size);
    if (!GetKernelObjectSecurity(file, parts, get(), size, &size)) return LastError("fstat");
    return {};
  }

  PSECURITY_DESCRIPTOR get() { return buffer_.data(); }
  std::vector<char> Take() { return std::move(buffer_); }

 private:
  std::vector<char> buffer_;
};

// Opens a file again for what its handle was not opened for.
Error Reopen(HANDLE file, ACCESS_MASK access, Handle* again) {
  OpenRequest request;
  request.parent = file;
  request.access = access;
  const NTSTATUS status = Open(request, again);
  return status < 0 ? FromStatus(status, "open") : Error{};
}

// Lets the file have what its directory gives to new files, and nothing of its own.
Error Inherit(HANDLE file) {
  ACL empty;
  InitializeAcl(&empty, sizeof(empty), ACL_REVISION);
  const DWORD code = SetSecurityInfo(
      file, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION | UNPROTECTED_DACL_SECURITY_INFORMATION,
      nullptr, nullptr, &empty, nullptr);
  return code == ERROR_SUCCESS ? Error{} : FromWin32(code, "chmod");
}

Error MakePrivate(HANDLE file) {
  PrivateDescriptor descriptor;
  constexpr SECURITY_INFORMATION kParts =
      DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
  if (!SetKernelObjectSecurity(file, kParts, descriptor.get())) return LastError("chmod");
  return {};
}

Error SetAccess(HANDLE file, uint32_t mode) {
  if (!IsPrivateMode(mode)) {
    // What is not private already is as its directory wants it, and is left alone.
    if (GrantsOthers(file, GENERIC_ALL | FILE_ALL_ACCESS, OwnerOf(file))) return {};
    return Inherit(file);
  }
  return MakePrivate(file);
}

// The old file, opened for reading its descriptor.
Error OpenReplaced(const ReplacedFile& from, ACCESS_MASK access, Handle* file) {
  OpenRequest request;
  request.parent = HandleOf(from.directory.handle);
  request.name = ToWide(from.name);
  request.access = access;
  const NTSTATUS status = Open(request, file);
  if (status >= 0) return {};
  Error error = FromStatus(status, "open");
  // It was there a moment ago: somebody is replacing it in two steps, or has removed it.
  if (IsAbsent(status)) error.transient = true;
  return error;
}

}  // namespace

PrivateDescriptor::PrivateDescriptor()
    : buffer_(sizeof(ACL) + sizeof(ACCESS_ALLOWED_ACE) + SECURITY_MAX_SID_SIZE) {
  InitializeAcl(list(), static_cast<DWORD>(buffer_.size()), ACL_REVISION);
  AddAccessAllowedAceEx(list(), ACL_REVISION, OBJECT_INHERIT_ACE | CONTAINER_INHERIT_ACE,
                        FILE_ALL_ACCESS, OurSid());
  InitializeSecurityDescriptor(&descriptor_, SECURITY_DESCRIPTOR_REVISION);
  SetSecurityDescriptorDacl(&descriptor_, TRUE, list(), FALSE);
  SetSecurityDescriptorControl(&descriptor_, SE_DACL_PROTECTED, SE_DACL_PROTECTED);
}

int64_t OwnerOf(HANDLE file) {
  Descriptor descriptor;
  PSID owner = nullptr;
  BOOL defaulted = FALSE;
  if (!descriptor.Read(file, OWNER_SECURITY_INFORMATION).ok() ||
      !GetSecurityDescriptorOwner(descriptor.get(), &owner, &defaulted) || owner == nullptr) {
    return kUnknownOwner;
  }
  return NumberOf(owner);
}

bool IsTrustedOwner(int64_t owner, int64_t other) {
  if (owner == kUnknownOwner) return false;
  return owner == kSuperuser || owner == other || owner == NumberOf(OurSid());
}

bool IsOtherUser(int64_t owner) {
  return owner != kUnknownOwner && owner != kSuperuser && owner != NumberOf(OurSid());
}

bool IsOwnedByUs(const Directory& directory) { return directory.owner == NumberOf(OurSid()); }
bool IsOwnedByUs(const FileStatus& status) { return status.owner == NumberOf(OurSid()); }

bool GrantsOthers(HANDLE file, ACCESS_MASK mask, int64_t owner) {
  Descriptor descriptor;
  BOOL present = FALSE;
  BOOL defaulted = FALSE;
  PACL list = nullptr;
  if (!descriptor.Read(file, DACL_SECURITY_INFORMATION).ok() ||
      !GetSecurityDescriptorDacl(descriptor.get(), &present, &list, &defaulted)) {
    return true;
  }
  if (!present || list == nullptr) return true;  // no list: everybody may do everything
  const ACCESS_MASK wanted = mask | GENERIC_ALL;
  for (DWORD index = 0; index < list->AceCount; index++) {
    void* entry = nullptr;
    if (!GetAce(list, index, &entry)) return true;
    const auto* header = static_cast<const ACE_HEADER*>(entry);
    // One that is given under a condition looks the same up to its end.
    if (header->AceType != ACCESS_ALLOWED_ACE_TYPE &&
        header->AceType != ACCESS_ALLOWED_CALLBACK_ACE_TYPE) {
      continue;
    }
    if ((header->AceFlags & INHERIT_ONLY_ACE) != 0) continue;
    auto* allowed = static_cast<ACCESS_ALLOWED_ACE*>(entry);
    if ((allowed->Mask & wanted) == 0) continue;
    const PSID sid = &allowed->SidStart;
    const bool harmless = IsSuperuser(sid) || EqualSid(sid, OurSid()) || NumberOf(sid) == owner ||
                          IsWellKnownSid(sid, WinCreatorOwnerRightsSid);
    if (!harmless) return true;
  }
  return false;
}

bool IsPrivate(NativeHandle file, const FileStatus& status) {
  return !GrantsOthers(HandleOf(file), FILE_ALL_ACCESS, status.owner);
}

Error SetMode(NativeHandle file, uint32_t mode) {
  Handle writable;
  Error error =
      Reopen(HandleOf(file),
             READ_CONTROL | WRITE_DAC | FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES, &writable);
  const HANDLE handle = error.ok() ? HandleOf(writable) : HandleOf(file);
  error = SetAccess(handle, mode);
  return error.ok() ? SetReadOnly(handle, (mode & kOwnerWrite) == 0) : error;
}

Error SetDirectoryMode(const Directory& directory, uint32_t mode) {
  Handle writable;
  Error error = Reopen(HandleOf(directory.handle), READ_CONTROL | WRITE_DAC, &writable);
  return error.ok() ? SetAccess(HandleOf(writable), mode) : error;
}

Error SetReadOnly(HANDLE file, bool read_only) {
  FILE_BASIC_INFO basic;
  if (!system_calls.get_file_information(file, FileBasicInfo, &basic, sizeof(basic))) {
    return LastError("fstat");
  }
  const bool is = (basic.FileAttributes & FILE_ATTRIBUTE_READONLY) != 0;
  if (is == read_only) return {};
  FILE_BASIC_INFO change{};  // a time of 0 is left as it is
  change.FileAttributes = basic.FileAttributes ^ FILE_ATTRIBUTE_READONLY;
  if (change.FileAttributes == 0) change.FileAttributes = FILE_ATTRIBUTE_NORMAL;
  if (!system_calls.set_file_information(file, FileBasicInfo, &change, sizeof(change))) {
    return LastError("chmod");
  }
  return {};
}

Error ReadAccess(HANDLE file, AccessList* list) {
  Descriptor descriptor;
  Error error = descriptor.Read(file, DACL_SECURITY_INFORMATION);
  *list = descriptor.Take();
  return error;
}

Error WriteAccess(HANDLE file, AccessList list) {
  SECURITY_DESCRIPTOR_CONTROL control = 0;
  DWORD revision = 0;
  if (!GetSecurityDescriptorControl(list.data(), &control, &revision)) return LastError("chmod");
  // Else the system takes what was inherited for the file's own.
  if ((control & SE_DACL_AUTO_INHERITED) != 0) {
    SetSecurityDescriptorControl(list.data(), SE_DACL_AUTO_INHERIT_REQ, SE_DACL_AUTO_INHERIT_REQ);
  }
  const bool is_protected = (control & SE_DACL_PROTECTED) != 0;
  const SECURITY_INFORMATION parts =
      DACL_SECURITY_INFORMATION |
      (is_protected ? PROTECTED_DACL_SECURITY_INFORMATION : UNPROTECTED_DACL_SECURITY_INFORMATION);
  if (!SetKernelObjectSecurity(file, parts, list.data())) return LastError("chmod");
  return {};
}

// An access list names its subjects, so that it says the same of a file of another owner.
ModeSubjects KeepSubjects(const ReplacedFile&, const FileStatus&, NativeHandle) {
  return {true, true};
}
ModeWithoutList WithoutAccessControlList(const ReplacedFile&, uint32_t mode) {
  return {mode, mode};
}
Error RemoveAccessControlList(NativeHandle) { return {}; }

Error KeepPermissions(const ReplacedFile& from, uint32_t /*mode*/, NativeHandle to) {
  Handle old;
  Error error = OpenReplaced(from, READ_CONTROL | FILE_READ_ATTRIBUTES, &old);
  if (error.ok()) error = CopyAccessControlList(old.get(), to);
  if (!error.ok()) return error;
  FILE_BASIC_INFO basic;
  if (!system_calls.get_file_information(HandleOf(old), FileBasicInfo, &basic, sizeof(basic))) {
    return LastError("fstat");
  }
  constexpr DWORD kKept =
      FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED;
  FILE_BASIC_INFO change{};
  change.FileAttributes = (basic.FileAttributes & kKept) | FILE_ATTRIBUTE_ARCHIVE;
  if (!system_calls.set_file_information(HandleOf(to), FileBasicInfo, &change, sizeof(change))) {
    return LastError("chmod");
  }
  return {};
}

Error KeepOwner(const ReplacedFile& from, NativeHandle to) {
  Handle old;
  Descriptor descriptor;
  constexpr SECURITY_INFORMATION kParts = OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION;
  Error error = OpenReplaced(from, READ_CONTROL, &old);
  if (error.ok()) error = descriptor.Read(HandleOf(old), kParts);
  if (!error.ok()) return error;
  if (!SetKernelObjectSecurity(HandleOf(to), kParts, descriptor.get())) return LastError("chown");
  return {};
}

Error CopyAccessControlList(NativeHandle from, NativeHandle to) {
  AccessList list;
  Error error = ReadAccess(HandleOf(from), &list);
  return error.ok() ? WriteAccess(HandleOf(to), std::move(list)) : error;
}

// Streams and extended attributes are carried over by ReplaceFileW(): see PublishReplacing().
Error CopyAttributes(NativeHandle, NativeHandle, bool* all) {
  *all = true;
  return {};
}

}  // namespace holdfast
