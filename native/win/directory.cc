#include <algorithm>

#include "win.h"

namespace holdfast {

namespace {

// The beginning of `path` that is its root, opened.
Error OpenRoot(const std::string& path, size_t length, Handle* handle) {
  const std::wstring root = ToNamespacedPath(path.substr(0, length));
  const auto open = [&root](DWORD access) {
    return system_calls.create_file(root.c_str(), access, kShareAll, nullptr, OPEN_EXISTING,
                                    FILE_FLAG_BACKUP_SEMANTICS, nullptr);
  };
  constexpr DWORD kAccess = FILE_TRAVERSE | FILE_READ_ATTRIBUTES | SYNCHRONIZE;
  HANDLE opened = open(kAccess | READ_CONTROL);
  // Who its owner is not everybody may ask.
  if (opened == INVALID_HANDLE_VALUE && GetLastError() == ERROR_ACCESS_DENIED) {
    opened = open(kAccess);
  }
  if (opened == INVALID_HANDLE_VALUE) return LastError("open");
  *handle = Owned(opened);
  return {};
}

// A link shows in the attributes of its name at once; what the handle says decides. Where the attributes say so and the
// handle does not, the name was changed in between, or the system hides its links from handles, as Wine does.
bool LooksLikeLink(const std::string& path) {
  const DWORD attributes = system_calls.get_file_attributes(ToNamespacedPath(path).c_str());
  return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
}

Error OpenComponent(const std::string& path, size_t begin, size_t end, Handle* current) {
  Handle next;
  DWORD tag = 0;
  Error error = OpenChildDirectory(HandleOf(*current), ToWide(path.substr(begin, end - begin)),
                                   /*follow=*/false, &next, &tag);
  if (error.ok() && tag == 0 && LooksLikeLink(path.substr(0, end))) {
    error = Error::Refused(Refusal::kLink, ELOOP, "open");
  }
  if (error.ok()) *current = std::move(next);
  return error;
}

Error WalkToDirectory(const std::string& path, Handle* handle) {
  size_t begin = RootLength(path);
  Error error = OpenRoot(path, begin, handle);
  while (error.ok() && begin < path.size()) {
    const size_t end = std::min(path.find_first_of(kPathSeparators, begin), path.size());
    if (end > begin) error = OpenComponent(path, begin, end, handle);
    begin = end + 1;
  }
  return error;
}

Error FinalPath(HANDLE handle, std::wstring* path) {
  path->resize(32768);
  const DWORD length = GetFinalPathNameByHandleW(
      handle, path->data(), static_cast<DWORD>(path->size()), FILE_NAME_NORMALIZED);
  if (length == 0) return LastError("realpath");
  path->resize(length);
  return {};
}

bool IsBeneath(std::wstring root, const std::wstring& path) {
  if (path.size() > root.size() && root.back() != L'\\') root.push_back(L'\\');
  const int size = static_cast<int>(root.size());
  return path.size() >= root.size() &&
         CompareStringOrdinal(root.data(), size, path.data(), size, TRUE) == CSTR_EQUAL;
}

}  // namespace

Error OpenDirectory(const std::string& path, ParentPolicy parents, Directory* directory) {
  Handle handle;
  Error error = parents == ParentPolicy::kTrust ? OpenRoot(path, path.size(), &handle)
                                                : WalkToDirectory(path, &handle);
  if (!error.ok()) return error;
  FILE_STANDARD_INFO standard;
  if (!system_calls.get_file_information(HandleOf(handle), FileStandardInfo, &standard,
                                         sizeof(standard))) {
    return LastError("fstat");
  }
  if (!standard.Directory) return Error::FromSystem(ENOTDIR, "open");
  return DescribeDirectory(std::move(handle), directory);
}

Error OpenBeneath(const Directory& root, const std::string& path, Directory* directory) {
  if (path.empty()) {
    Handle again;
    Error error = OpenChildDirectory(HandleOf(root.handle), L"", /*follow=*/true, &again);
    return error.ok() ? DescribeDirectory(std::move(again), directory) : error;
  }
  std::string relative = path;
  std::replace(relative.begin(), relative.end(), '/', '\\');
  Handle handle;
  std::wstring root_path;
  std::wstring found_path;
  Error error =
      OpenChildDirectory(HandleOf(root.handle), ToWide(relative), /*follow=*/true, &handle);
  if (error.ok()) error = FinalPath(HandleOf(root.handle), &root_path);
  if (error.ok()) error = FinalPath(HandleOf(handle), &found_path);
  if (!error.ok()) return error;
  // Asked of the handle that is then used, so that nothing on the way matters any more.
  if (!IsBeneath(root_path, found_path)) return Error::Refused(Refusal::kOutside, EXDEV, "open");
  return DescribeDirectory(std::move(handle), directory);
}

Error MakeDirectory(const Directory& parent, const std::string& name, std::optional<uint32_t> mode,
                    Directory* directory, bool* created) {
  PrivateDescriptor descriptor;
  OpenRequest request;
  request.parent = HandleOf(parent.handle);
  request.name = ToWide(name);
  request.access = FILE_TRAVERSE | FILE_READ_ATTRIBUTES | READ_CONTROL;
  request.disposition = 2;  // FILE_CREATE
  request.options = 0x1;    // FILE_DIRECTORY_FILE
  request.attributes = FILE_ATTRIBUTE_DIRECTORY;
  if (mode && IsPrivateMode(*mode)) request.security = descriptor.get();
  Handle handle;
  const NTSTATUS status = Open(request, &handle);
  *created = status >= 0;
  if (status == kNameCollision) {
    Error error =
        OpenChildDirectory(HandleOf(parent.handle), request.name, /*follow=*/true, &handle);
    if (!error.ok()) return error;
  } else if (status < 0) {
    Error error = FromStatus(status, "mkdir");
    // The name is free when the last who has the removed directory open closes it.
    error.transient = status == kDeletePending;
    return error;
  }
  return DescribeDirectory(std::move(handle), directory);
}

Error OpenForStamping(const Directory& parent, const std::string& name, Handle* handle,
                      FileStatus* status) {
  constexpr ULONG kDirectoryFile = 0x1;
  OpenRequest request;
  request.parent = HandleOf(parent.handle);
  request.name = ToWide(name);
  request.access = FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES;
  request.options = kDirectoryFile;
  Handle opened;
  const NTSTATUS result = Open(request, &opened);
  if (IsAbsent(result)) return {};
  if (result < 0) return FromStatus(result, "open");
  Error error = InspectFile(opened.get(), status);
  if (error.ok() && status->kind == FileKind::kLink) {
    error = Error::Refused(Refusal::kLink, ELOOP, "open");
  }
  if (error.ok()) *handle = std::move(opened);
  return error;
}

Error FindNames(const Directory& directory, const std::string& prefix, const std::string& suffix,
                std::vector<std::string>* names) {
  OpenRequest request;
  request.parent = HandleOf(directory.handle);
  request.access = FILE_LIST_DIRECTORY;
  Handle handle;
  const NTSTATUS status = Open(request, &handle);
  if (status < 0) return FromStatus(status, "opendir");
  // Of 64-bit numbers, since the entries begin with some.
  std::vector<uint64_t> buffer(8192);
  const auto size = static_cast<DWORD>(buffer.size() * sizeof(buffer[0]));
  while (system_calls.get_file_information(HandleOf(handle), FileIdBothDirectoryInfo, buffer.data(),
                                           size)) {
    const auto* position = reinterpret_cast<const char*>(buffer.data());
    for (;;) {
      const auto* entry = reinterpret_cast<const FILE_ID_BOTH_DIR_INFO*>(position);
      const std::string name =
          ToUtf8(std::wstring(entry->FileName, entry->FileNameLength / sizeof(wchar_t)));
      if (name.size() >= prefix.size() + suffix.size() &&
          name.compare(0, prefix.size(), prefix) == 0 &&
          name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0) {
        names->push_back(name);
      }
      if (entry->NextEntryOffset == 0) break;
      position += entry->NextEntryOffset;
    }
  }
  const DWORD code = GetLastError();
  return code == ERROR_NO_MORE_FILES ? Error{} : FromWin32(code, "readdir");
}

bool IsMountPoint(const Directory&, const std::string&) { return false; }

}  // namespace holdfast
