#include "support.h"

#include "path.h"

namespace holdfast {

namespace {

std::wstring WidePath(const std::string& name) { return ToNamespacedPath(PathIn(name)); }

std::string LastComponent(const std::string& path) {
  return path.substr(path.find_last_of('\\') + 1);
}

}  // namespace

SystemCalls real_calls;
std::string test_directory;

void PrepareCase(const std::string& directory) {
  test_directory = directory;
  real_calls = system_calls;
}

void OnOpen(std::function<NTSTATUS(const NtOpen&)> decide) {
  ReplaceCall<&SystemCalls::nt_create_file>(
      [decide = std::move(decide)](PHANDLE handle, ACCESS_MASK access,
                                   POBJECT_ATTRIBUTES attributes, PIO_STATUS_BLOCK block,
                                   PLARGE_INTEGER size, ULONG file_attributes, ULONG share,
                                   ULONG disposition, ULONG options, PVOID buffer, ULONG length) {
        const UNICODE_STRING& name = *attributes->ObjectName;
        const std::wstring wide(name.Buffer, name.Length / sizeof(wchar_t));
        const NTSTATUS status = decide({access, ToUtf8(wide), options});
        if (status != 0) return status;
        return real_calls.nt_create_file(handle, access, attributes, block, size, file_attributes,
                                         share, disposition, options, buffer, length);
      });
}

void OnRename(std::function<NTSTATUS(const NtRename&)> decide) {
  ReplaceCall<&SystemCalls::nt_set_information_file>([decide = std::move(decide)](
                                                         HANDLE file, PIO_STATUS_BLOCK block,
                                                         PVOID data, ULONG size, int kind) {
    if (kind == kRenameInformation || kind == kRenameInformationEx) {
      const auto* information = static_cast<const FILE_RENAME_INFO*>(data);
      const std::wstring wide(information->FileName, information->FileNameLength / sizeof(wchar_t));
      const NTSTATUS status = decide({file, ToUtf8(wide), kind});
      if (status != 0) return status;
    }
    return real_calls.nt_set_information_file(file, block, data, size, kind);
  });
}

std::string PathIn(const std::string& name) {
  return name.empty() ? test_directory : test_directory + '\\' + name;
}

Handle HoldOpen(const std::string& name, DWORD access, DWORD share) {
  HANDLE file = CreateFileW(WidePath(name).c_str(), access, share, nullptr, OPEN_EXISTING,
                            FILE_FLAG_BACKUP_SEMANTICS, nullptr);
  CHECK(file != INVALID_HANDLE_VALUE);
  return Owned(file);
}

void WriteText(const std::string& name, const std::string& text) {
  HANDLE file = CreateFileW(WidePath(name).c_str(), GENERIC_WRITE, kShareAll, nullptr,
                            CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, nullptr);
  const Handle owned = Owned(file);
  DWORD written = 0;
  CHECK(file != INVALID_HANDLE_VALUE &&
        WriteFile(file, text.data(), static_cast<DWORD>(text.size()), &written, nullptr));
}

std::string ReadText(const std::string& name) {
  HANDLE file = CreateFileW(WidePath(name).c_str(), GENERIC_READ, kShareAll, nullptr, OPEN_EXISTING,
                            FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file == INVALID_HANDLE_VALUE) {
    return GetLastError() == ERROR_FILE_NOT_FOUND ? "(absent)" : "(cannot be opened)";
  }
  const Handle owned = Owned(file);
  std::string text(1U << 20, '\0');
  DWORD read = 0;
  CHECK(ReadFile(file, text.data(), static_cast<DWORD>(text.size()), &read, nullptr));
  text.resize(read);
  return text;
}

void MakeReadOnly(const std::string& name) {
  CHECK(SetFileAttributesW(WidePath(name).c_str(), FILE_ATTRIBUTE_READONLY));
}

std::set<std::string> Names() {
  std::set<std::string> names;
  WIN32_FIND_DATAW found;
  HANDLE search = FindFirstFileW(WidePath("*").c_str(), &found);
  CHECK(search != INVALID_HANDLE_VALUE);
  do {
    const std::string name = ToUtf8(found.cFileName);
    if (name != "." && name != "..") names.insert(name);
  } while (FindNextFileW(search, &found));
  FindClose(search);
  return names;
}

std::string NameOfHandle(HANDLE file) {
  std::wstring path(32768, L'\0');
  const DWORD length =
      GetFinalPathNameByHandleW(file, path.data(), static_cast<DWORD>(path.size()), 0);
  path.resize(length);
  return LastComponent(ToUtf8(path));
}

Directory OpenTestDirectory(const std::string& name) {
  Directory directory;
  CHECK_EQUAL(OpenDirectory(PathIn(name), ParentPolicy::kTrust, &directory).number, 0);
  return directory;
}

Replaced Replace(const ReplaceTry& attempt) {
  ReplaceRequest request;
  request.path = PathIn(attempt.name);
  attempt.change(&request);
  Replaced replaced;
  Replacement replacement(std::move(request));
  replaced.failure = replacement.Begin(attempt.text.size());
  if (!replaced.failure.ok()) return replaced;
  replaced.failure = replacement.Write(attempt.text.data(), attempt.text.size());
  if (!replaced.failure.ok()) return replaced;
  for (int tries = 1; tries <= attempt.tries; tries++) {
    if (tries > 1) attempt.between_tries();
    const bool last = tries == attempt.tries && !attempt.gives_up;
    replaced.failure = replacement.Commit(last, &replaced.result);
    if (!replaced.failure.transient()) break;
  }
  return replaced;
}

}  // namespace holdfast
