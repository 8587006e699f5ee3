// Opening, apart from reparse points: who may ask what, and what the system's refusals are called.
#include "support.h"

namespace holdfast {

namespace {

Error OpenByName(const std::string& name, Handle* file) {
  FileStatus status;
  return OpenFile(OpenTestDirectory(), name, FileAccess::kReadWrite, file, &status);
}

TEST_CASE("open: a name that leads nowhere, or whose file is being removed, is absent") {
  WriteText("file", "contents");
  for (const uint32_t status : {0xC0000034U, 0xC000000FU, 0xC0000056U}) {
    OnOpen([status](const NtOpen& open) {
      return open.name == "file" ? static_cast<NTSTATUS>(status) : 0;
    });
    Handle file;
    CHECK_EQUAL(OpenByName("file", &file).number, 0);
    CHECK(!file.valid());
    FileStatus found;
    CHECK(InspectName(OpenTestDirectory(), "file", &found).ok());
    CHECK_EQUAL(found.kind, FileKind::kAbsent);
  }
}

TEST_CASE("open: a file that may not be opened is a refusal that names its owner") {
  WriteText("file", "contents");
  FileStatus status;
  Handle file;
  CHECK(OpenFile(OpenTestDirectory(), "file", FileAccess::kRead, &file, &status).ok());
  file.Reset();
  OnOpen([](const NtOpen& open) {
    const bool contents = (open.access & (FILE_READ_DATA | FILE_WRITE_DATA)) != 0;
    return open.name == "file" && contents ? kStatusAccessDenied : 0;
  });
  const Error error = OpenByName("file", &file);
  CHECK_EQUAL(error.refusal, Refusal::kNoAccess);
  CHECK_EQUAL(error.number, EPERM);
  CHECK_EQUAL(error.system_code, ERROR_ACCESS_DENIED);
  CHECK_EQUAL(error.owner, status.owner);
  CHECK(status.owner != -1);
  CHECK(!file.valid());
}

TEST_CASE("open: a file whose owner nobody may ask for is refused all the same") {
  WriteText("file", "contents");
  OnOpen([](const NtOpen& open) {
    return open.name == "file" && (open.access & ~(FILE_READ_ATTRIBUTES | SYNCHRONIZE)) != 0
               ? kStatusAccessDenied
               : 0;
  });
  Handle file;
  const Error error = OpenByName("file", &file);
  CHECK_EQUAL(error.refusal, Refusal::kNoAccess);
  CHECK_EQUAL(error.owner, -1);
}

TEST_CASE("open: a file that somebody has for themselves is busy, which is no refusal") {
  WriteText("file", "contents");
  const Handle held = HoldOpen("file", GENERIC_READ, 0);
  Handle file;
  const Error error = OpenByName("file", &file);
  CHECK_EQUAL(error.number, EBUSY);
  CHECK_EQUAL(error.refusal, Refusal::kNone);
  CHECK(error.transient);
}

TEST_CASE("open: a directory is no file") {
  CHECK(CreateDirectoryW(ToNamespacedPath(PathIn("file")).c_str(), nullptr));
  Handle file;
  CHECK_EQUAL(OpenByName("file", &file).refusal, Refusal::kNotRegular);
  CHECK(!file.valid());
}

TEST_CASE("open: a name that is too long is an error, not an absent one, nor what is left of it") {
  WriteText("aaaaa", "the victim");
  for (const size_t length : {256, 32767, 32768 + 5}) {
    const std::string name(length, 'a');
    FileStatus status;
    CHECK_EQUAL(InspectName(OpenTestDirectory(), name, &status).number, ENAMETOOLONG);
    Handle file;
    CHECK_EQUAL(OpenByName(name, &file).number, ENAMETOOLONG);
    ReplaceTry attempt;
    attempt.name = name;
    CHECK_EQUAL(Replace(attempt).failure.error.number, ENAMETOOLONG);
    Directory directory;
    CHECK_EQUAL(OpenBeneath(OpenTestDirectory(), "a/" + name, &directory).number, ENAMETOOLONG);
  }
  const std::string longest(255, 'a');
  CHECK_EQUAL(Replace({longest}).failure.error.number, 0);
  CHECK_EQUAL(ReadText(longest), "new contents");
}

TEST_CASE("open: a directory whose owner nobody may ask for can be used, and is trusted less") {
  CHECK(CreateDirectoryW(ToNamespacedPath(PathIn("place")).c_str(), nullptr));
  OnOpen([](const NtOpen& open) {
    return open.name == "place" && (open.access & READ_CONTROL) != 0 ? kStatusAccessDenied : 0;
  });
  ReplaceCall<&SystemCalls::create_file>([](LPCWSTR path, DWORD access, DWORD share,
                                            LPSECURITY_ATTRIBUTES security, DWORD disposition,
                                            DWORD flags, HANDLE model) {
    if ((access & READ_CONTROL) != 0 && std::wstring(path).find(L"place") != std::wstring::npos) {
      SetLastError(ERROR_ACCESS_DENIED);
      return INVALID_HANDLE_VALUE;
    }
    return real_calls.create_file(path, access, share, security, disposition, flags, model);
  });
  for (const ParentPolicy parents : {ParentPolicy::kTrust, ParentPolicy::kRefuseLinks}) {
    Directory directory;
    CHECK_EQUAL(OpenDirectory(PathIn("place"), parents, &directory).number, 0);
    CHECK_EQUAL(directory.owner, -1);
    CHECK(directory.others_can_write);
  }
}

TEST_CASE("open: a directory that may not be opened at all is an error") {
  ReplaceCall<&SystemCalls::create_file>([](auto&&...) {
    SetLastError(ERROR_ACCESS_DENIED);
    return INVALID_HANDLE_VALUE;
  });
  Directory directory;
  CHECK_EQUAL(OpenDirectory(PathIn("place"), ParentPolicy::kTrust, &directory).number, EPERM);
}

TEST_CASE("open: no handle is inherited, and everybody else may share") {
  WriteText("file", "contents");
  ReplaceCall<&SystemCalls::nt_create_file>(
      [](PHANDLE handle, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, PIO_STATUS_BLOCK block,
         PLARGE_INTEGER size, ULONG file_attributes, ULONG share, ULONG disposition, ULONG options,
         PVOID buffer, ULONG length) {
        constexpr ULONG kInherit = 2;
        CHECK((attributes->Attributes & kInherit) == 0);
        CHECK_EQUAL(share, kShareAll);
        return real_calls.nt_create_file(handle, access, attributes, block, size, file_attributes,
                                         share, disposition, options, buffer, length);
      });
  Handle file;
  CHECK(OpenByName("file", &file).ok());
}

}  // namespace

}  // namespace holdfast
