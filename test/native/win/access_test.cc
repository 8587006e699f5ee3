// What becomes of modes and owners, with the access lists that files really have.
#include "support.h"

namespace holdfast {

namespace {

bool IsPrivateFile(const std::string& name) {
  FileStatus status;
  Handle file;
  CHECK(OpenFile(OpenTestDirectory(), name, FileAccess::kRead, &file, &status).ok());
  return IsPrivate(file.get(), status);
}

bool IsReadOnly(const std::string& name) {
  FileStatus status;
  CHECK(InspectName(OpenTestDirectory(), name, &status).ok());
  return (status.mode & 0200U) == 0;
}

Replaced ReplaceWithMode(uint32_t mode) {
  ReplaceTry attempt;
  attempt.change = [mode](ReplaceRequest* request) { request->mode = mode; };
  return Replace(attempt);
}

TEST_CASE(
    "access: a mode for the owner alone lets nobody else at the file, from the first moment") {
  TemporaryFile temporary;
  const Directory directory = OpenTestDirectory();
  CHECK(CreateTemporary(directory, 0600, &temporary).ok());
  FileStatus status;
  CHECK(InspectFile(temporary.file.get(), &status).ok());
  CHECK(IsPrivate(temporary.file.get(), status));
  DiscardTemporary(directory, &temporary);
  for (const uint32_t mode : {0600U, 0700U}) {
    WriteText("target", "old contents");
    CHECK(!IsPrivateFile("target"));
    CHECK(ReplaceWithMode(mode).failure.ok());
    CHECK(IsPrivateFile("target"));
    CHECK(!IsReadOnly("target"));
    CHECK(DeleteFileW(ToNamespacedPath(PathIn("target")).c_str()));
  }
}

TEST_CASE("access: any other mode leaves a new file what its directory gives") {
  for (const uint32_t mode : {0644U, 0666U, 0640U}) {
    CHECK(ReplaceWithMode(mode).failure.ok());
    CHECK(!IsPrivateFile("target"));
    CHECK(!IsReadOnly("target"));
  }
}

TEST_CASE("access: a mode that lets nobody write is the read-only attribute") {
  CHECK(ReplaceWithMode(0444).failure.ok());
  CHECK(IsReadOnly("target"));
  CHECK_EQUAL(ReadText("target"), "new contents");
}

TEST_CASE("access: without a mode the new file has the old one's list and attributes") {
  WriteText("target", "old contents");
  CHECK(ReplaceWithMode(0600).failure.ok());
  const std::wstring path = ToNamespacedPath(PathIn("target"));
  CHECK(SetFileAttributesW(path.c_str(), FILE_ATTRIBUTE_HIDDEN));
  ReplaceTry attempt;
  attempt.text = "newer contents";
  attempt.change = [](ReplaceRequest* request) { request->keep_mode = true; };
  CHECK(Replace(attempt).failure.ok());
  CHECK_EQUAL(ReadText("target"), "newer contents");
  CHECK(IsPrivateFile("target"));
  CHECK((GetFileAttributesW(path.c_str()) & FILE_ATTRIBUTE_HIDDEN) != 0);
}

TEST_CASE("access: a lock file of mode 0600 is for us alone, and its owner is us") {
  const Directory directory = OpenTestDirectory();
  TemporaryFile temporary;
  bool published = false;
  CHECK(CreateTemporary(directory, 0600, &temporary).ok());
  CHECK(SetMode(temporary.file.get(), 0600).ok());
  CHECK(PublishNew(directory, &temporary, "lock", &published).ok());
  CHECK(published);
  temporary.file.Reset();
  CHECK(IsPrivateFile("lock"));
  Handle file;
  FileStatus status;
  CHECK(OpenLockFile(directory, "lock", &file, &status).ok());
  CHECK(IsOwnedByUs(status));
  CHECK(IsTrustedOwner(status.owner, -1));
}

TEST_CASE("access: a directory that is made for us alone has that mode, and another one has not") {
  const Directory parent = OpenTestDirectory();
  Directory made;
  bool created = false;
  CHECK(MakeDirectory(parent, "mine", 0700, &made, &created).ok());
  CHECK(created);
  CHECK_EQUAL(made.mode, 0700U);
  CHECK(!made.others_can_write);
  Directory other;
  CHECK(MakeDirectory(parent, "other", std::nullopt, &other, &created).ok());
  CHECK(other.mode != 0700U);
  CHECK(SetDirectoryMode(other, 0700).ok());
  CHECK_EQUAL(OpenTestDirectory("other").mode, 0700U);
}

}  // namespace

}  // namespace holdfast
