// What is at a name is looked at on its handle. Wine has no reparse points: here some handles say that they are one.
#include <map>

#include "lock.h"
#include "path.h"
#include "support.h"

namespace holdfast {

namespace {

constexpr DWORD kLinks[] = {
    0xA000000C,  // symbolic link
    0xA0000003,  // junction, or a volume that is mounted there
    0xA000001D,  // symbolic link of the Linux subsystem
    0xA0000019,  // global reparse point
    0xA0000027,  // link of a container
    0x20000123,  // a name surrogate of somebody else's
};

constexpr DWORD kUnknown[] = {
    0x80000023,  // socket
    0x8000001B,  // alias of an application
    0x80000014,  // link, FIFO or device of an NFS server
    0x80000024,  // FIFO of the Linux subsystem
    0x00000123,  // somebody else's
    0x9001001A,  // like the cloud's, and not one of them
    0x9000001B,
    0,  // a reparse point that does not say which
};

std::vector<DWORD> Placeholders() {
  std::vector<DWORD> tags = {
      0x80000021, 0x80000013, 0x80000017, 0x80000008, 0x9000001C,
      0x8000001E, 0x90000027, 0xC0000004, 0x80000006,
  };
  for (DWORD digit = 0; digit < 16; digit++) tags.push_back(0x9000001A | (digit << 12));
  return tags;
}

// Names that are reparse points as long as they are not followed.
class FakeReparsePoints {
 public:
  FakeReparsePoints() {
    ReplaceCall<&SystemCalls::nt_create_file>(
        [this](PHANDLE handle, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes,
               PIO_STATUS_BLOCK block, PLARGE_INTEGER size, ULONG file_attributes, ULONG share,
               ULONG disposition, ULONG options, PVOID buffer, ULONG length) {
          const bool followed = (options & kOptionOpenReparsePoint) == 0;
          const std::string name = ToUtf8(
              {attributes->ObjectName->Buffer, attributes->ObjectName->Length / sizeof(wchar_t)});
          if (followed) follows.push_back(name);
          UNICODE_STRING other;
          OBJECT_ATTRIBUTES changed = *attributes;
          const auto leads = leads_to.find(name);
          if (followed && leads != leads_to.end()) {
            other.Buffer = leads->second.data();
            other.Length = static_cast<USHORT>(leads->second.size() * sizeof(wchar_t));
            other.MaximumLength = other.Length;
            changed.ObjectName = &other;
          }
          if (followed && follow_status != 0 && tags.count(name) != 0) return follow_status;
          const NTSTATUS status =
              real_calls.nt_create_file(handle, access, &changed, block, size, file_attributes,
                                        share, disposition, options, buffer, length);
          if (status >= 0 && followed) raw_.erase(*handle);
          if (status >= 0 && !followed) raw_.insert(*handle);
          return status;
        });
    ReplaceCall<&SystemCalls::create_file>([this](LPCWSTR path, DWORD access, DWORD share,
                                                  LPSECURITY_ATTRIBUTES security, DWORD disposition,
                                                  DWORD flags, HANDLE model) {
      HANDLE file =
          real_calls.create_file(path, access, share, security, disposition, flags, model);
      raw_.erase(file);
      return file;
    });
    ReplaceCall<&SystemCalls::get_file_information>(
        [this](HANDLE file, FILE_INFO_BY_HANDLE_CLASS kind, void* data, DWORD size) {
          if (kind == FileAttributeTagInfo && tag_error != ERROR_SUCCESS) return Fail(tag_error);
          if (!real_calls.get_file_information(file, kind, data, size)) return FALSE;
          if (kind != FileAttributeTagInfo && kind != FileBasicInfo) return TRUE;
          if (raw_.count(file) == 0 && !shown_when_followed) return TRUE;
          const auto tag = tags.find(NameOfHandle(file));
          if (tag == tags.end()) return TRUE;
          if (kind == FileBasicInfo) {
            static_cast<FILE_BASIC_INFO*>(data)->FileAttributes |= FILE_ATTRIBUTE_REPARSE_POINT;
          } else {
            auto* info = static_cast<FILE_ATTRIBUTE_TAG_INFO*>(data);
            info->FileAttributes |= FILE_ATTRIBUTE_REPARSE_POINT;
            info->ReparseTag = tag->second;
          }
          return TRUE;
        });
  }

  std::map<std::string, DWORD> tags;
  // Where a name leads that is followed, if not to itself.
  std::map<std::string, std::wstring> leads_to;
  // What following comes to instead.
  NTSTATUS follow_status = 0;
  // What the file system says that is asked for a tag.
  DWORD tag_error = ERROR_SUCCESS;
  // A file of the cloud shows what it is also where it was opened as the file that it stands for.
  bool shown_when_followed = false;
  std::vector<std::string> follows;

 private:
  std::set<HANDLE> raw_;
};

Error OpenByName(const std::string& name, FileStatus* status = nullptr, Handle* file = nullptr) {
  Handle opened;
  FileStatus found;
  Error error = OpenFile(OpenTestDirectory(), name, FileAccess::kReadWrite,
                         file != nullptr ? file : &opened, status != nullptr ? status : &found);
  return error;
}

Error OpenAsLockFile(const std::string& name) {
  LockRequest request;
  request.target = PathIn("any");
  request.lock_path = PathIn(name);
  LockLocation location;
  LockFile file;
  Error error = Locate(request, &location);
  return error.ok() ? OpenChecked(request, &location, &file) : error;
}

FileKind KindOfName(const std::string& name) {
  FileStatus status;
  CHECK_EQUAL(InspectName(OpenTestDirectory(), name, &status).number, 0);
  return status.kind;
}

Error OpenWalking(const std::string& path) {
  Directory directory;
  return OpenDirectory(PathIn(path), ParentPolicy::kRefuseLinks, &directory);
}

bool IsRefusedLink(const Error& error) {
  return error.refusal == Refusal::kLink && error.number == ELOOP;
}

void MakeTree() {
  for (const char* name : {"a", "a\\b", "a\\b\\c"}) {
    CHECK(CreateDirectoryW(ToNamespacedPath(PathIn(name)).c_str(), nullptr));
  }
}

TEST_CASE(
    "reparse point: a link is refused as a file, a lock file and a target, and nothing is "
    "followed") {
  WriteText("file", "the victim");
  FakeReparsePoints points;
  for (const DWORD tag : kLinks) {
    points.tags["file"] = tag;
    CHECK(IsRefusedLink(OpenByName("file")));
    CHECK(IsRefusedLink(OpenAsLockFile("file")));
    CHECK_EQUAL(KindOfName("file"), FileKind::kLink);
    const Error replaced = Replace({"file"}).failure.error;
    CHECK(IsRefusedLink(replaced));
  }
  CHECK(points.follows.empty());
  CHECK_EQUAL(ReadText("file"), "the victim");
}

TEST_CASE("reparse point: a tag that nobody knows is refused") {
  WriteText("file", "the victim");
  FakeReparsePoints points;
  for (const DWORD tag : kUnknown) {
    points.tags["file"] = tag;
    CHECK(IsRefusedLink(OpenByName("file")));
    CHECK(IsRefusedLink(OpenAsLockFile("file")));
    CHECK_EQUAL(KindOfName("file"), FileKind::kOther);
    CHECK_EQUAL(Replace({"file"}).failure.error.refusal, Refusal::kNotRegular);
  }
  CHECK(points.follows.empty());
  CHECK_EQUAL(ReadText("file"), "the victim");
}

TEST_CASE("reparse point: a placeholder is opened as the file that it stands for") {
  FakeReparsePoints points;
  for (const bool shown : {false, true}) {
    points.shown_when_followed = shown;
    for (const DWORD tag : Placeholders()) {
      WriteText("file", "contents");
      points.tags["file"] = tag;
      points.follows.clear();
      Handle file;
      FileStatus status;
      CHECK_EQUAL(OpenByName("file", &status, &file).number, 0);
      CHECK(points.follows == std::vector<std::string>{"file"});
      CHECK_EQUAL(status.kind, FileKind::kRegular);
      CHECK_EQUAL(status.size, 8);
      CHECK_EQUAL(KindOfName("file"), FileKind::kRegular);
      file.Reset();
      CHECK(Replace({"file"}).failure.ok());
      CHECK_EQUAL(ReadText("file"), "new contents");
    }
  }
}

TEST_CASE("reparse point: a placeholder can be a lock file") {
  WriteText("file", "");
  FakeReparsePoints points;
  for (const DWORD tag : Placeholders()) {
    points.tags["file"] = tag;
    CHECK_EQUAL(OpenAsLockFile("file").number, 0);
  }
}

TEST_CASE("reparse point: a placeholder that leads to another file is refused") {
  WriteText("file", "contents");
  WriteText("other", "the victim");
  FakeReparsePoints points;
  for (const DWORD tag : Placeholders()) {
    points.tags["file"] = tag;
    points.leads_to["file"] = L"other";
    Handle file;
    CHECK(IsRefusedLink(OpenByName("file", nullptr, &file)));
    CHECK(!file.valid());
    CHECK(IsRefusedLink(OpenAsLockFile("file")));
  }
}

TEST_CASE("reparse point: a placeholder whose file cannot be had is an error of the system") {
  WriteText("file", "contents");
  FakeReparsePoints points;
  points.tags["file"] = 0x9000001A;
  points.follow_status = static_cast<NTSTATUS>(0xC0000043);
  const Error error = OpenByName("file");
  CHECK_EQUAL(error.number, EBUSY);
  CHECK_EQUAL(error.refusal, Refusal::kNone);
  CHECK(error.transient);
}

TEST_CASE(
    "reparse point: where a file system knows no tags, the attributes say whether it is one") {
  WriteText("file", "contents");
  for (const DWORD code : {ERROR_INVALID_PARAMETER, ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED,
                           ERROR_CALL_NOT_IMPLEMENTED, ERROR_INVALID_LEVEL}) {
    FakeReparsePoints points;
    points.tag_error = static_cast<DWORD>(code);
    CHECK_EQUAL(OpenByName("file").number, 0);
    CHECK_EQUAL(KindOfName("file"), FileKind::kRegular);
    points.tags["file"] = 0xA000000C;
    CHECK(IsRefusedLink(OpenByName("file")));
    CHECK_EQUAL(KindOfName("file"), FileKind::kOther);
  }
}

TEST_CASE("reparse point: a tag that cannot be asked for is an error") {
  WriteText("file", "contents");
  FakeReparsePoints points;
  points.tag_error = ERROR_GEN_FAILURE;
  CHECK_EQUAL(OpenByName("file").number, EIO);
}

TEST_CASE("parents: a link on the way is refused where that is asked for, wherever it is") {
  MakeTree();
  FakeReparsePoints points;
  CHECK_EQUAL(OpenWalking("a\\b\\c").number, 0);
  for (const char* name : {"a", "b", "c"}) {
    for (const DWORD tag : kLinks) {
      points.tags = {{name, tag}};
      CHECK(IsRefusedLink(OpenWalking("a\\b\\c")));
      Directory directory;
      CHECK(OpenDirectory(PathIn("a\\b\\c"), ParentPolicy::kTrust, &directory).ok());
    }
    for (const DWORD tag : kUnknown) {
      points.tags = {{name, tag}};
      CHECK(IsRefusedLink(OpenWalking("a\\b\\c")));
    }
  }
  CHECK(points.follows.empty());
}

TEST_CASE("parents: a lock and a replace refuse a link on the way") {
  MakeTree();
  WriteText("a\\b\\c\\file", "the victim");
  FakeReparsePoints points;
  points.tags["b"] = 0xA0000003;
  LockRequest request;
  request.target = PathIn("a\\b\\c\\file");
  request.parents = ParentPolicy::kRefuseLinks;
  LockLocation location;
  CHECK(IsRefusedLink(Locate(request, &location)));
  ReplaceTry attempt{"a\\b\\c\\file"};
  attempt.change = [](ReplaceRequest* change) {
    change->directory.parents = ParentPolicy::kRefuseLinks;
  };
  CHECK(IsRefusedLink(Replace(attempt).failure.error));
  CHECK_EQUAL(ReadText("a\\b\\c\\file"), "the victim");
}

TEST_CASE("parents: a placeholder on the way is opened as the directory that it stands for") {
  MakeTree();
  FakeReparsePoints points;
  // By its name it is a reparse point, too.
  ReplaceCall<&SystemCalls::get_file_attributes>([](LPCWSTR path) {
    return real_calls.get_file_attributes(path) |
           (NameOf(ToUtf8(path)) == "b" ? FILE_ATTRIBUTE_REPARSE_POINT : 0U);
  });
  for (const DWORD tag : Placeholders()) {
    points.tags = {{"b", tag}};
    points.follows.clear();
    CHECK_EQUAL(OpenWalking("a\\b\\c").number, 0);
    CHECK(points.follows == std::vector<std::string>{"b"});
  }
  CHECK(CreateDirectoryW(ToNamespacedPath(PathIn("a\\other")).c_str(), nullptr));
  points.leads_to["b"] = L"other";
  CHECK(IsRefusedLink(OpenWalking("a\\b\\c")));
}

TEST_CASE("parents: a name whose attributes say link is refused, although its handle does not") {
  MakeTree();
  int asked = 0;
  ReplaceCall<&SystemCalls::get_file_attributes>([&asked](LPCWSTR path) {
    asked++;
    const DWORD link = FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT;
    return NameOf(ToUtf8(path)) == "b" ? link : real_calls.get_file_attributes(path);
  });
  CHECK(IsRefusedLink(OpenWalking("a\\b\\c")));
  CHECK(IsRefusedLink(OpenWalking("a\\b")));
  CHECK_EQUAL(OpenWalking("a").number, 0);
  asked = 0;
  OpenTestDirectory("a\\b\\c");
  CHECK_EQUAL(asked, 0);
}

TEST_CASE("parents: attributes that cannot be asked for say nothing") {
  MakeTree();
  ReplaceCall<&SystemCalls::get_file_attributes>([](LPCWSTR) {
    SetLastError(ERROR_ACCESS_DENIED);
    return INVALID_FILE_ATTRIBUTES;
  });
  CHECK_EQUAL(OpenWalking("a\\b\\c").number, 0);
}

}  // namespace

}  // namespace holdfast
