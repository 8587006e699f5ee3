// Which way a rename goes, and what a denied one comes to.
#include "support.h"

namespace holdfast {

namespace {

void CheckOldStays(const Replaced& replaced) {
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kOld);
  CHECK_EQUAL(ReadText("target"), "old contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

// No copy, so that the rename's own error shows.
ReplaceTry WithoutCopy() {
  ReplaceTry attempt;
  attempt.change = [](ReplaceRequest* request) { request->copy_fallback = CopyFallback::kNever; };
  return attempt;
}

void DenyRenames(NTSTATUS status = kStatusAccessDenied) {
  OnRename([status](const NtRename&) { return status; });
}

void CountReplaceFile(int* calls) {
  ReplaceCall<&SystemCalls::replace_file>([calls](auto&&...) {
    (*calls)++;
    return Fail(ERROR_ACCESS_DENIED);
  });
}

// The probe for the obstacle asks for DELETE.
void OnProbe(NTSTATUS status) {
  OnOpen([status](const NtOpen& open) {
    return open.name == "target" && (open.access & DELETE) != 0 ? status : 0;
  });
}

// One file of its own, to be published by hand.
struct Published {
  Error error;
  Publication publication;
};

Published PublishOver(const Directory& directory, const std::string& text) {
  TemporaryFile temporary;
  Published published;
  CHECK(CreateTemporary(directory, 0600, &temporary).ok());
  CHECK(WriteAt(temporary.file.get(), 0, text.data(), text.size()).ok());
  published.error = PublishReplacing(directory, &temporary, "target", {}, &published.publication);
  DiscardTemporary(directory, &temporary);
  return published;
}

TEST_CASE(
    "rename: where there is no POSIX rename the plain one is taken, and the volume remembered") {
  constexpr uint32_t kStatuses[] = {0xC000000D, 0xC0000003, 0xC00000BB, 0xC0000010,
                                    0xC0000002, 0xC0000427, 0xC0000148};
  Directory directory = OpenTestDirectory();
  std::vector<int> kinds;
  for (const uint32_t status : kStatuses) {
    WriteText("target", "old contents");
    // Each is a volume of its own.
    directory.identity.device++;
    kinds.clear();
    OnRename([&](const NtRename& rename) {
      kinds.push_back(rename.kind);
      return rename.kind == kRenameInformationEx ? static_cast<NTSTATUS>(status) : 0;
    });
    CHECK_EQUAL(PublishOver(directory, "new contents").error.number, 0);
    CHECK(kinds == (std::vector<int>{kRenameInformationEx, kRenameInformation}));
    CHECK_EQUAL(ReadText("target"), "new contents");
    CHECK_EQUAL(PublishOver(directory, "newer contents").error.number, 0);
    CHECK(kinds ==
          (std::vector<int>{kRenameInformationEx, kRenameInformation, kRenameInformation}));
    CHECK_EQUAL(ReadText("target"), "newer contents");
  }
  // Another volume is asked again.
  directory.identity.device++;
  kinds.clear();
  RestoreCalls();
  OnRename([&](const NtRename& rename) {
    kinds.push_back(rename.kind);
    return 0;
  });
  CHECK_EQUAL(PublishOver(directory, "newest contents").error.number, 0);
  CHECK(kinds == std::vector<int>{kRenameInformationEx});
}

TEST_CASE("rename: an error that says something else is no reason to take the plain one") {
  WriteText("target", "old contents");
  for (const uint32_t status : {0xC000007FU, 0xC00000A2U, 0xC00000D4U}) {
    std::vector<int> kinds;
    OnRename([&](const NtRename& rename) {
      kinds.push_back(rename.kind);
      return static_cast<NTSTATUS>(status);
    });
    const Replaced replaced = Replace(WithoutCopy());
    CHECK(kinds == std::vector<int>{kRenameInformationEx});
    CHECK(!replaced.failure.ok());
    CHECK(!replaced.failure.transient());
    CheckOldStays(replaced);
  }
}

TEST_CASE("rename: denied, and the target may not be removed: a permission, which does not pass") {
  WriteText("target", "old contents");
  int calls = 0;
  CountReplaceFile(&calls);
  DenyRenames();
  OnProbe(kStatusAccessDenied);
  const Replaced replaced = Replace(WithoutCopy());
  CHECK_EQUAL(replaced.failure.error.number, EPERM);
  CHECK_EQUAL(replaced.failure.error.system_code, ERROR_ACCESS_DENIED);
  CHECK(!replaced.failure.transient());
  CHECK_EQUAL(calls, 0);
  CheckOldStays(replaced);
}

TEST_CASE("rename: denied, and the target is read-only: a permission, which does not pass") {
  WriteText("target", "old contents");
  MakeReadOnly("target");
  int calls = 0;
  CountReplaceFile(&calls);
  DenyRenames();
  const Replaced replaced = Replace(WithoutCopy());
  CHECK_EQUAL(replaced.failure.error.number, EPERM);
  CHECK(!replaced.failure.transient());
  CHECK_EQUAL(calls, 0);
  CheckOldStays(replaced);
}

TEST_CASE("rename: denied, and somebody has the target open for themselves: it passes") {
  WriteText("target", "old contents");
  const Handle held = HoldOpen("target", GENERIC_READ, FILE_SHARE_READ);
  int calls = 0;
  CountReplaceFile(&calls);
  for (const NTSTATUS status : {kStatusAccessDenied, kStatusSharingViolation}) {
    DenyRenames(status);
    const Replaced replaced = Replace(WithoutCopy());
    CHECK_EQUAL(replaced.failure.error.system_code, ERROR_SHARING_VIOLATION);
    CHECK(replaced.failure.error.transient);
    CHECK(replaced.failure.transient());
    CHECK_EQUAL(calls, 0);
    CheckOldStays(replaced);
  }
}

TEST_CASE("rename: denied, and the target is being removed or gone: it passes") {
  WriteText("target", "old contents");
  DenyRenames();
  for (const NTSTATUS status : {kStatusDeletePending, kStatusNameNotFound}) {
    OnProbe(status);
    const Replaced replaced = Replace(WithoutCopy());
    CHECK_EQUAL(replaced.failure.error.number, EPERM);
    CHECK(replaced.failure.transient());
    CheckOldStays(replaced);
  }
}

TEST_CASE("rename: over a name that is being removed: it passes") {
  WriteText("target", "old contents");
  DenyRenames(kStatusDeletePending);
  OnProbe(kStatusDeletePending);
  const Replaced replaced = Replace(WithoutCopy());
  CHECK_EQUAL(replaced.failure.error.number, EBUSY);
  CHECK(replaced.failure.transient());
  CheckOldStays(replaced);
}

TEST_CASE("rename: denied, and somebody has the target open and shares it: ReplaceFileW is asked") {
  WriteText("target", "old contents");
  const Handle held = HoldOpen("target", GENERIC_READ, kShareAll);
  int calls = 0;
  CountReplaceFile(&calls);
  DenyRenames();
  const Replaced refused = Replace(WithoutCopy());
  CHECK_EQUAL(calls, 1);
  // The rename's error, since that tells what is the matter.
  CHECK_EQUAL(std::string(refused.failure.error.syscall), "rename");
  CHECK(refused.failure.transient());
  CheckOldStays(refused);

  system_calls.replace_file = real_calls.replace_file;
  const Replaced replaced = Replace(WithoutCopy());
  CHECK(replaced.failure.ok());
  CHECK_EQUAL(replaced.result.method, ReplaceMethod::kReplaceFile);
  CHECK_EQUAL(ReadText("target"), "new contents");
}

TEST_CASE(
    "rename: denied, and somebody shares the target: ReplaceFileW waits until others have let go") {
  WriteText("target", "old contents");
  const Handle held = HoldOpen("target", GENERIC_READ, kShareAll);
  int calls = 0;
  CountReplaceFile(&calls);
  DenyRenames();
  ReplaceTry attempt = WithoutCopy();
  attempt.tries = 13;
  attempt.gives_up = true;
  CheckOldStays(Replace(attempt));
  CHECK_EQUAL(calls, 3);
}

TEST_CASE("rename: denied by a directory that has come there: ReplaceFileW does not touch it") {
  WriteText("target", "old contents");
  int calls = 0;
  CountReplaceFile(&calls);
  OnRename([](const NtRename&) {
    CHECK(DeleteFileW(ToNamespacedPath(PathIn("target")).c_str()));
    CHECK(CreateDirectoryW(ToNamespacedPath(PathIn("target")).c_str(), nullptr));
    return kStatusAccessDenied;
  });
  const Replaced replaced = Replace(WithoutCopy());
  CHECK_EQUAL(replaced.failure.error.number, EPERM);
  CHECK(!replaced.failure.transient());
  CHECK_EQUAL(calls, 0);
  CHECK(Names() == std::set<std::string>{"target"});
}

TEST_CASE("rename: what is in the way is waited out by as many tries as it takes") {
  WriteText("target", "old contents");
  int renames = 0;
  OnRename([&](const NtRename&) { return ++renames < 4 ? kStatusSharingViolation : 0; });
  OnProbe(kStatusSharingViolation);
  ReplaceTry attempt = WithoutCopy();
  attempt.tries = 10;
  const Replaced replaced = Replace(attempt);
  CHECK(replaced.failure.ok());
  CHECK_EQUAL(renames, 4);
  CHECK_EQUAL(replaced.result.method, ReplaceMethod::kRename);
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

TEST_CASE("rename: what stays in the way at the last try is got round by a copy") {
  WriteText("target", "old contents");
  DenyRenames(kStatusSharingViolation);
  ReplaceTry attempt;
  attempt.tries = 3;
  // Of the target only: the journal of the copy is renamed, too.
  OnRename(
      [](const NtRename& rename) { return rename.name == "target" ? kStatusSharingViolation : 0; });
  OnProbe(kStatusSharingViolation);
  const Replaced replaced = Replace(attempt);
  CHECK_EQUAL(replaced.failure.error.number, 0);
  CHECK_EQUAL(replaced.result.method, ReplaceMethod::kCopy);
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

// What the new file was last told about its end; it refuses to go away while it is read-only, as Windows has it.
void OnDisposition(bool* goes_away) {
  ReplaceCall<&SystemCalls::set_file_information>(
      [goes_away](HANDLE file, FILE_INFO_BY_HANDLE_CLASS kind, void* data, DWORD size) {
        if (kind == FileDispositionInfo) {
          const bool value = static_cast<FILE_DISPOSITION_INFO*>(data)->DeleteFile != 0;
          FILE_BASIC_INFO info;
          CHECK(real_calls.get_file_information(file, FileBasicInfo, &info, sizeof(info)));
          if (value && (info.FileAttributes & FILE_ATTRIBUTE_READONLY) != 0) {
            return Fail(ERROR_ACCESS_DENIED);
          }
          *goes_away = value;
        }
        return real_calls.set_file_information(file, kind, data, size);
      });
}

TEST_CASE(
    "rename: a target that somebody really keeps from being removed is copied into at the last "
    "try") {
  WriteText("target", "old contents");
  const Handle held = HoldOpen("target", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE);
  const Replaced refused = Replace(WithoutCopy());
  CHECK_EQUAL(refused.failure.error.number, EBUSY);
  CheckOldStays(refused);
  ReplaceTry attempt;
  attempt.tries = 3;
  attempt.change = [](ReplaceRequest* request) { request->mode = 0600; };
  const Replaced replaced = Replace(attempt);
  CHECK_EQUAL(replaced.failure.error.number, 0);
  CHECK_EQUAL(replaced.result.method, ReplaceMethod::kCopy);
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

TEST_CASE(
    "rename: between two tries the new file goes away with its handle, also if it is read-only") {
  WriteText("target", "old contents");
  bool goes_away = false;
  int calls = 0;
  int renames = 0;
  CountReplaceFile(&calls);
  OnDisposition(&goes_away);
  OnRename([&](const NtRename&) {
    renames++;
    CHECK(!goes_away);
    return kStatusAccessDenied;
  });
  ReplaceTry attempt;
  attempt.tries = 3;
  attempt.between_tries = [&] { CHECK(goes_away); };
  for (const bool keep_streams : {false, true}) {
    for (const uint32_t mode : {0600U, 0444U}) {
      attempt.change = [=](ReplaceRequest* request) {
        request->copy_fallback = CopyFallback::kNever;
        request->keep_attributes = keep_streams;
        request->mode = mode;
      };
      CheckOldStays(Replace(attempt));
      CHECK(goes_away);
    }
  }
  CHECK_EQUAL(renames, 6);
  // At the last try only, or, where streams are to be kept, at each.
  CHECK_EQUAL(calls, 8);
}

TEST_CASE("rename: a read-only file is published read-only by the try that succeeds") {
  WriteText("target", "old contents");
  bool goes_away = false;
  OnDisposition(&goes_away);
  OnProbe(kStatusSharingViolation);
  OnRename([renames = 0](const NtRename&) mutable {
    return ++renames < 3 ? kStatusSharingViolation : 0;
  });
  ReplaceTry attempt;
  attempt.tries = 3;
  attempt.change = [](ReplaceRequest* request) { request->mode = 0444; };
  CHECK_EQUAL(Replace(attempt).failure.error.number, 0);
  CHECK(!goes_away);
  CHECK_EQUAL(ReadText("target"), "new contents");
  FileStatus status;
  CHECK(InspectName(OpenTestDirectory(), "target", &status).ok());
  CHECK_EQUAL(status.mode, 0444U);
}

TEST_CASE("rename: a file that cannot be kept from going away is not published") {
  WriteText("target", "old contents");
  ReplaceCall<&SystemCalls::set_file_information>(
      [](HANDLE file, FILE_INFO_BY_HANDLE_CLASS kind, void* data, DWORD size) {
        if (kind == FileDispositionInfo && !static_cast<FILE_DISPOSITION_INFO*>(data)->DeleteFile) {
          return Fail(ERROR_IO_DEVICE);
        }
        return real_calls.set_file_information(file, kind, data, size);
      });
  const Replaced replaced = Replace(WithoutCopy());
  CHECK_EQUAL(replaced.failure.error.number, EIO);
  CheckOldStays(replaced);
  ReplaceTry attempt;
  attempt.name = "another";
  attempt.change = [](ReplaceRequest* request) { request->create_only = true; };
  CHECK_EQUAL(Replace(attempt).failure.error.number, EIO);
  CHECK(Names() == std::set<std::string>{"target"});
}

}  // namespace

}  // namespace holdfast
