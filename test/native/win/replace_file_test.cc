// ReplaceFileW() and the states in which it may stop: in none of them are both contents gone.
#include "leftovers.h"
#include "support.h"

namespace holdfast {

namespace {

struct Paths {
  std::wstring target;
  std::wstring source;
  std::wstring backup;
};

// Has ReplaceFileW() stop with `code` in the state that it documents, after `then`.
void OnReplaceFile(
    DWORD code, std::function<void(const Paths&)> then = [](const Paths&) {}) {
  ReplaceCall<&SystemCalls::replace_file>(
      [code, then](LPCWSTR target, LPCWSTR source, LPCWSTR backup, DWORD, LPVOID, LPVOID) {
        if (code == ERROR_UNABLE_TO_MOVE_REPLACEMENT_2) CHECK(MoveFileExW(target, backup, 0));
        then({target, source, backup});
        return Fail(code);
      });
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The way that goes to ReplaceFileW() first.
ReplaceTry KeepingStreams() {
  ReplaceTry attempt;
  attempt.change = [](ReplaceRequest* request) {
    request->keep_attributes = true;
    request->copy_fallback = CopyFallback::kNever;
  };
  return attempt;
}

void CheckOldStays(const Replaced& replaced) {
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kOld);
  CHECK_EQUAL(ReadText("target"), "old contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

// The name that the old contents have while the target has none.
std::string BackupName() {
  for (const std::string& name : Names()) {
    if (EndsWith(name, ".old")) return name;
  }
  return "(none)";
}

// Fails the plain rename of the file that is called `from` at that moment.
void FailRenamesOf(std::function<bool(const std::string&)> from, NTSTATUS status) {
  OnRename([from = std::move(from), status](const NtRename& rename) {
    const bool fails = rename.kind == kRenameInformation && from(NameOfHandle(rename.file));
    return fails ? status : 0;
  });
}

bool IsTemporary(const std::string& name) { return EndsWith(name, kTemporarySuffix); }
bool IsBackup(const std::string& name) { return EndsWith(name, ".old"); }

TEST_CASE("ReplaceFileW: is asked with a backup name of its own, which is gone afterwards") {
  std::set<std::wstring> backups;
  ReplaceCall<&SystemCalls::replace_file>([&](LPCWSTR target, LPCWSTR source, LPCWSTR backup,
                                              DWORD flags, LPVOID exclude, LPVOID reserved) {
    CHECK_EQUAL(flags, REPLACEFILE_IGNORE_MERGE_ERRORS);
    CHECK(backups.insert(backup).second);
    return real_calls.replace_file(target, source, backup, flags, exclude, reserved);
  });
  WriteText("target", "old contents");
  for (int round = 0; round < 3; round++) {
    const Replaced replaced = Replace(KeepingStreams());
    CHECK_EQUAL(replaced.failure.error.number, 0);
    CHECK_EQUAL(replaced.result.method, ReplaceMethod::kReplaceFile);
    CHECK(!replaced.result.superseded);
    CHECK_EQUAL(replaced.result.version.size, 12);
    CHECK_EQUAL(ReadText("target"), "new contents");
    CHECK(Names() == std::set<std::string>{"target"});
  }
  CHECK_EQUAL(backups.size(), 3U);
}

TEST_CASE("ReplaceFileW: is not asked where there is nothing to replace") {
  OnReplaceFile(ERROR_FILE_NOT_FOUND, [](const Paths&) { CHECK(false); });
  const Replaced replaced = Replace(KeepingStreams());
  CHECK(replaced.failure.ok());
  CHECK_EQUAL(replaced.result.method, ReplaceMethod::kRename);
}

TEST_CASE("ReplaceFileW 1175, 1176 and 32: all stays, and a later try succeeds") {
  for (const DWORD code : {ERROR_UNABLE_TO_REMOVE_REPLACED, ERROR_UNABLE_TO_MOVE_REPLACEMENT,
                           ERROR_SHARING_VIOLATION}) {
    WriteText("target", "old contents");
    OnReplaceFile(code);
    ReplaceTry attempt = KeepingStreams();
    attempt.tries = 3;
    const Replaced failed = Replace(attempt);
    CHECK_EQUAL(failed.failure.error.system_code, code);
    CHECK_EQUAL(failed.failure.error.number, EBUSY);
    CHECK_EQUAL(std::string(failed.failure.error.syscall), "ReplaceFileW");
    CHECK(failed.failure.transient());
    CheckOldStays(failed);
    attempt.between_tries = [] { system_calls.replace_file = real_calls.replace_file; };
    const Replaced replaced = Replace(attempt);
    CHECK_EQUAL(replaced.failure.error.number, 0);
    CHECK_EQUAL(replaced.result.method, ReplaceMethod::kReplaceFile);
    CHECK_EQUAL(ReadText("target"), "new contents");
    CHECK(Names() == std::set<std::string>{"target"});
  }
}

TEST_CASE("ReplaceFileW 5: passes if somebody has the target open, and not if it is a permission") {
  WriteText("target", "old contents");
  OnReplaceFile(ERROR_ACCESS_DENIED);
  Replaced replaced = Replace(KeepingStreams());
  CHECK_EQUAL(replaced.failure.error.number, EPERM);
  CHECK(replaced.failure.transient());
  CheckOldStays(replaced);
  OnOpen([](const NtOpen& open) {
    return open.name == "target" && (open.access & DELETE) != 0 ? kStatusAccessDenied : 0;
  });
  replaced = Replace(KeepingStreams());
  CHECK_EQUAL(replaced.failure.error.number, EPERM);
  CHECK(!replaced.failure.transient());
  CheckOldStays(replaced);
}

TEST_CASE("ReplaceFileW 2: a target that has just gone is replaced by the next try") {
  WriteText("target", "old contents");
  OnReplaceFile(ERROR_FILE_NOT_FOUND,
                [](const Paths& paths) { DeleteFileW(paths.target.c_str()); });
  ReplaceTry attempt = KeepingStreams();
  attempt.tries = 2;
  const Replaced replaced = Replace(attempt);
  CHECK_EQUAL(replaced.failure.error.number, 0);
  CHECK_EQUAL(replaced.result.method, ReplaceMethod::kRename);
  CHECK_EQUAL(ReadText("target"), "new contents");
}

TEST_CASE("ReplaceFileW 87: any other failure leaves both files, and is not tried again") {
  WriteText("target", "old contents");
  OnReplaceFile(ERROR_INVALID_PARAMETER);
  const Replaced replaced = Replace(KeepingStreams());
  CHECK_EQUAL(replaced.failure.error.number, EINVAL);
  CHECK(!replaced.failure.transient());
  CheckOldStays(replaced);
}

TEST_CASE("ReplaceFileW 1177: the new file is put in the place of the old") {
  WriteText("target", "old contents");
  OnReplaceFile(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2, [](const Paths&) {
    CHECK_EQUAL(ReadText("target"), "(absent)");
    CHECK_EQUAL(ReadText(BackupName()), "old contents");
  });
  const Replaced replaced = Replace(KeepingStreams());
  CHECK_EQUAL(replaced.failure.error.number, 0);
  CHECK_EQUAL(replaced.result.method, ReplaceMethod::kReplaceFile);
  CHECK_EQUAL(replaced.result.version.size, 12);
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

TEST_CASE("ReplaceFileW 1177, and the new file cannot be moved: the old one is back") {
  WriteText("target", "old contents");
  OnReplaceFile(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2);
  FailRenamesOf(IsTemporary, kStatusSharingViolation);
  ReplaceTry attempt = KeepingStreams();
  const Replaced failed = Replace(attempt);
  CHECK_EQUAL(failed.failure.error.system_code, ERROR_UNABLE_TO_MOVE_REPLACEMENT_2);
  CHECK_EQUAL(failed.failure.error.number, EBUSY);
  CHECK(failed.failure.transient());
  CheckOldStays(failed);
  attempt.tries = 2;
  attempt.between_tries = RestoreCalls;
  CHECK_EQUAL(Replace(attempt).failure.error.number, 0);
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

TEST_CASE("ReplaceFileW 1177, and the new file cannot be opened: the old one is back") {
  WriteText("target", "old contents");
  bool closed = false;
  OnReplaceFile(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2, [&](const Paths&) { closed = true; });
  OnOpen([&](const NtOpen& open) {
    return closed && IsTemporary(open.name) ? kStatusSharingViolation : 0;
  });
  ReplaceTry attempt = KeepingStreams();
  attempt.tries = 2;
  attempt.between_tries = [] {
    CHECK_EQUAL(ReadText("target"), "old contents");
    RestoreCalls();
  };
  const Replaced replaced = Replace(attempt);
  CHECK_EQUAL(replaced.failure.error.number, 0);
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

TEST_CASE("ReplaceFileW 1177, and somebody shares the old file for reading only: it is back") {
  WriteText("target", "old contents");
  const Handle held = HoldOpen("target", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE);
  OnReplaceFile(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2);
  FailRenamesOf(IsTemporary, kStatusSharingViolation);
  CheckOldStays(Replace(KeepingStreams()));
}

TEST_CASE(
    "ReplaceFileW 1177, and no file can be moved: the old contents stay, and the error says so") {
  WriteText("target", "old contents");
  OnReplaceFile(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2);
  FailRenamesOf([](const std::string&) { return true; }, kStatusSharingViolation);
  ReplaceTry attempt = KeepingStreams();
  attempt.tries = 5;
  const Replaced replaced = Replace(attempt);
  CHECK_EQUAL(replaced.failure.error.system_code, ERROR_UNABLE_TO_MOVE_REPLACEMENT_2);
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kUnknown);
  CHECK(!replaced.failure.transient());
  CHECK_EQUAL(ReadText("target"), "(absent)");
  CHECK_EQUAL(ReadText(BackupName()), "old contents");
  CHECK_EQUAL(Names().size(), 1U);
}

TEST_CASE("ReplaceFileW 1177, and neither file can be opened: the old contents stay") {
  WriteText("target", "old contents");
  bool closed = false;
  OnReplaceFile(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2, [&](const Paths&) { closed = true; });
  OnOpen([&](const NtOpen& open) {
    const bool either = IsTemporary(open.name) || IsBackup(open.name);
    return closed && either ? kStatusAccessDenied : 0;
  });
  const Replaced replaced = Replace(KeepingStreams());
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kUnknown);
  CHECK_EQUAL(ReadText(BackupName()), "old contents");
}

TEST_CASE("ReplaceFileW 1177: the only copy of the old contents is not taken for a leftover") {
  WriteText("target", "old contents");
  // As old as can be: what is removed is what nobody has changed in the last minute.
  const Handle file = HoldOpen("target", FILE_WRITE_ATTRIBUTES, kShareAll);
  FILE_BASIC_INFO old{};
  old.LastWriteTime.QuadPart = 116'444'736'000'000'000;  // 1970
  CHECK(SetFileInformationByHandle(HandleOf(file), FileBasicInfo, &old, sizeof(old)));
  OnReplaceFile(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2);
  FailRenamesOf([](const std::string&) { return true; }, kStatusSharingViolation);
  CHECK_EQUAL(Replace(KeepingStreams()).failure.target_state, TargetState::kUnknown);
  RestoreCalls();
  const std::string backup = BackupName();
  // That of another process, which has not listed the directory yet.
  Directory directory = OpenTestDirectory();
  directory.identity.inode++;
  WriteText(".holdfast-0123456789abcdef0123456789abcdef.tmp", "a leftover");
  CHECK(
      SetFileInformationByHandle(HandleOf(HoldOpen(".holdfast-0123456789abcdef0123456789abcdef.tmp",
                                                   FILE_WRITE_ATTRIBUTES, kShareAll)),
                                 FileBasicInfo, &old, sizeof(old)));
  TemporaryFile temporary;
  CHECK(CreateTemporary(directory, 0600, &temporary).ok());
  DiscardTemporary(directory, &temporary);
  CHECK_EQUAL(ReadText(backup), "old contents");
  CHECK(Names() == std::set<std::string>{backup});
}

TEST_CASE(
    "ReplaceFileW 1177, and somebody else has replaced the target: theirs stays, and is replaced "
    "by the next try") {
  WriteText("target", "old contents");
  OnReplaceFile(ERROR_UNABLE_TO_MOVE_REPLACEMENT_2,
                [](const Paths&) { WriteText("target", "somebody else's"); });
  ReplaceTry attempt = KeepingStreams();
  attempt.tries = 2;
  attempt.between_tries = [] {
    CHECK_EQUAL(ReadText("target"), "somebody else's");
    system_calls.replace_file = real_calls.replace_file;
  };
  const Replaced replaced = Replace(attempt);
  CHECK(replaced.failure.ok());
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

TEST_CASE(
    "ReplaceFileW: a file that cannot be opened again after a failure is no source of a copy") {
  WriteText("target", "old contents");
  bool closed = false;
  OnReplaceFile(ERROR_SHARING_VIOLATION, [&](const Paths&) { closed = true; });
  OnOpen([&](const NtOpen& open) {
    return closed && IsTemporary(open.name) ? kStatusSharingViolation : 0;
  });
  ReplaceTry attempt = KeepingStreams();
  attempt.change = [](ReplaceRequest* request) { request->keep_attributes = true; };
  attempt.tries = 3;
  const Replaced replaced = Replace(attempt);
  CHECK_EQUAL(replaced.failure.error.number, EBUSY);
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kOld);
  CHECK_EQUAL(ReadText("target"), "old contents");
}

TEST_CASE(
    "ReplaceFileW: what is to be kept of a target that is just being replaced can be had by the "
    "next try") {
  WriteText("target", "old contents");
  bool away = true;
  OnOpen([&](const NtOpen& open) {
    return away && open.name == "target" && (open.access & READ_CONTROL) != 0 ? kStatusNameNotFound
                                                                              : 0;
  });
  ReplaceTry attempt = KeepingStreams();
  attempt.change = [](ReplaceRequest* request) { request->keep_mode = true; };
  const Replaced failed = Replace(attempt);
  CHECK_EQUAL(failed.failure.error.number, ENOENT);
  CHECK(failed.failure.transient());
  attempt.tries = 2;
  attempt.between_tries = [&] { away = false; };
  CHECK_EQUAL(Replace(attempt).failure.error.number, 0);
  CHECK_EQUAL(ReadText("target"), "new contents");
}

TEST_CASE("ReplaceFileW: a target that may not be given another access list is not handed to it") {
  WriteText("target", "old contents");
  OnReplaceFile(ERROR_GEN_FAILURE, [](const Paths&) { CHECK(false); });
  OnOpen([](const NtOpen& open) {
    return open.name == "target" && (open.access & WRITE_DAC) != 0 ? kStatusAccessDenied : 0;
  });
  const Replaced replaced = Replace(KeepingStreams());
  CHECK_EQUAL(replaced.failure.error.number, EPERM);
  CHECK(!replaced.failure.transient());
  CheckOldStays(replaced);
}

TEST_CASE("ReplaceFileW: a new file that may not be written any more can be opened again") {
  WriteText("target", "old contents");
  bool closed = false;
  OnOpen([&](const NtOpen& open) {
    const bool writing = (open.access & (FILE_WRITE_DATA | FILE_APPEND_DATA)) != 0;
    return closed && writing && !IsBackup(open.name) ? kStatusAccessDenied : 0;
  });
  OnReplaceFile(ERROR_UNABLE_TO_REMOVE_REPLACED, [&](const Paths&) { closed = true; });
  ReplaceTry attempt = KeepingStreams();
  attempt.tries = 2;
  attempt.between_tries = [] { system_calls.replace_file = real_calls.replace_file; };
  const Replaced replaced = Replace(attempt);
  CHECK_EQUAL(replaced.failure.error.number, 0);
  CHECK_EQUAL(replaced.result.version.size, 12);
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

bool IsPrivateName(const std::string& name) {
  Handle file;
  FileStatus status;
  CHECK(OpenFile(OpenTestDirectory(), name, FileAccess::kRead, &file, &status).ok());
  return IsPrivate(file.get(), status);
}

TEST_CASE(
    "ReplaceFileW: the new file has its own access list, and after a failure the old one its own") {
  WriteText("target", "old contents");
  ReplaceTry attempt = KeepingStreams();
  attempt.change = [](ReplaceRequest* request) {
    request->keep_attributes = true;
    request->copy_fallback = CopyFallback::kNever;
    request->mode = 0600;
  };
  CHECK(!IsPrivateName("target"));
  for (const DWORD code : {ERROR_UNABLE_TO_REMOVE_REPLACED, ERROR_UNABLE_TO_MOVE_REPLACEMENT_2}) {
    OnReplaceFile(code, [](const Paths& paths) {
      CHECK(IsPrivateName(ReadText("target") == "(absent)" ? BackupName() : "target"));
      static_cast<void>(paths);
    });
    FailRenamesOf(IsTemporary, kStatusSharingViolation);
    CheckOldStays(Replace(attempt));
    CHECK(!IsPrivateName("target"));
  }
  RestoreCalls();
  CHECK_EQUAL(Replace(attempt).failure.error.number, 0);
  CHECK_EQUAL(ReadText("target"), "new contents");
  CHECK(IsPrivateName("target"));
}

}  // namespace

}  // namespace holdfast
