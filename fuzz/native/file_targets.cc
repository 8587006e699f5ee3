// Functions that read what somebody else may have written, or go where somebody else's names lead.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "append_log.h"
#include "attempt.h"
#include "checksum.h"
#include "file_range.h"
#include "guarded_copy.h"
#include "path.h"
#include "posix/posix.h"
#include "read_file.h"
#include "targets.h"

namespace holdfast {

namespace {

Directory OpenFuzzDirectory() {
  Directory directory;
  MUST_HOLD(OpenDirectory(FuzzPath(""), ParentPolicy::kTrust, &directory).ok());
  return directory;
}

// ---- A lock file with these contents ----

void RunLockFile(const uint8_t* data, size_t size) {
  static FileSystems file_systems;
  const std::string lock_path = FuzzPath(".file.lock");
  SetContents(lock_path, data, size);
  AcquireOptions options;
  options.request.target = FuzzPath("file");
  options.may_block = true;
  Record claim;
  claim.pid = ProcessId();
  claim.host = "host";
  claim.acquired_at = 1;
  Attempt attempt = TryAcquire(options, &file_systems, {}, Patience::None(), &claim);
  if (attempt.outcome != Outcome::kGranted) {
    // Somebody's data is left alone.
    MUST_HOLD(attempt.outcome == Outcome::kFailed);
    MUST_HOLD(attempt.error.refusal == Refusal::kForeignContent);
    const std::vector<char> left = Contents(lock_path);
    MUST_HOLD(left.size() == size && (size == 0 || std::memcmp(left.data(), data, size) == 0));
    return;
  }
  MUST_HOLD(attempt.held.token > attempt.held.previous.record.token);
  DecodedRecord written;
  MUST_HOLD(ReadHolder(attempt.held.file.file.get(), &written).ok());
  MUST_HOLD(written.state == RecordState::kValid && written.record.pid == claim.pid);
  MUST_HOLD(Leave(attempt.held).ok());
}
const FuzzTarget lock_file_target("lock_file", RunLockFile);

// ---- A journal with these contents, as a crash or somebody else may have left it ----

// native/guarded_copy.cc has it to itself; what it writes is checked against it here.
struct Header {
  char magic[sizeof("holdfast copy 1")];
  FileIdentity target;
  uint64_t target_born;
  uint64_t size;
  uint32_t name_sum;
  uint32_t mode;
  uint32_t contents_sum;
  uint32_t sum;
};

// Which of the sums and identities are made right, so that the bytes get further.
enum Mended : uint8_t {
  kSum = 1,
  kIdentity = 2,
  kBorn = 4,
  kContents = 8,
  kMagic = 16,
  kName = 32
};

void RunJournal(const uint8_t* data, size_t size) {
  if (size < 1 + sizeof(Header)) return;
  const uint8_t mended = data[0];
  Header header;
  std::memcpy(&header, data + 1, sizeof(header));
  const std::string contents(reinterpret_cast<const char*>(data) + 1 + sizeof(header),
                             size - 1 - sizeof(header));
  const std::string name = "file";
  const std::string old = "what the file held before";
  SetContents(FuzzPath(name), old.data(), old.size());
  MUST_HOLD(chmod(FuzzPath(name).c_str(), 0600) == 0);
  const Directory directory = OpenFuzzDirectory();
  Handle file;
  FileStatus status;
  MUST_HOLD(OpenFile(directory, name, FileAccess::kRead, &file, &status).ok());
  if (mended & kMagic) std::memcpy(header.magic, "holdfast copy 1", sizeof(header.magic));
  if (mended & kIdentity) header.target = status.identity;
  if (mended & kBorn) header.target_born = BirthTime(file.get());
  if (mended & kName) header.name_sum = Crc32(name.data(), name.size());
  if (mended & kContents) {
    header.size = contents.size();
    header.contents_sum = Crc32(contents.data(), contents.size());
  }
  if (mended & kSum) header.sum = Crc32(reinterpret_cast<char*>(&header), offsetof(Header, sum));
  const std::string journal = FuzzPath(kTemporaryPrefix + std::to_string(status.identity.device) +
                                       '-' + std::to_string(status.identity.inode_high) + '-' +
                                       std::to_string(status.identity.inode) + ".journal");
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes += contents;
  SetContents(journal, bytes.data(), bytes.size());
  MUST_HOLD(chmod(journal.c_str(), 0600) == 0);

  const Error error = ReplayJournals(directory, name, "");
  const std::vector<char> found = Contents(FuzzPath(name));
  const bool restored = std::string(found.begin(), found.end()) != old;
  constexpr uint8_t kAll = kSum | kIdentity | kBorn | kContents | kMagic | kName;
  if ((mended & kAll) == kAll) {
    MUST_HOLD(error.ok());
    MUST_HOLD(std::string(found.begin(), found.end()) == contents);
    MUST_HOLD(access(journal.c_str(), F_OK) != 0);
  } else if (restored) {
    // The bytes were right by themselves.
    MUST_HOLD(error.ok() && found.size() == header.size);
  } else if (error.ok()) {
    MUST_HOLD(access(journal.c_str(), F_OK) != 0);  // it was for another file of that number
  } else {
    MUST_HOLD(error.refusal == Refusal::kForeignContent);
  }
  static_cast<void>(unlink(journal.c_str()));
}
const FuzzTarget journal_target("journal", RunJournal);

// ---- Names that must not lead out of a directory ----

// A tree with links out of it, by names that are soon found.
Directory MakeTree(Directory* outside) {
  static const bool made = [] {
    for (const char* name : {"in", "in/a", "in/a/b", "out"}) {
      MUST_HOLD(mkdir(FuzzPath(name).c_str(), 0700) == 0);
    }
    MUST_HOLD(symlink("../out", FuzzPath("in/l").c_str()) == 0);
    MUST_HOLD(symlink("../../out", FuzzPath("in/a/l").c_str()) == 0);
    MUST_HOLD(symlink("a", FuzzPath("in/m").c_str()) == 0);
    MUST_HOLD(symlink("/", FuzzPath("in/r").c_str()) == 0);
    return true;
  }();
  static_cast<void>(made);
  Directory root;
  MUST_HOLD(OpenDirectory(FuzzPath("in"), ParentPolicy::kTrust, &root).ok());
  MUST_HOLD(OpenDirectory(FuzzPath("out"), ParentPolicy::kTrust, outside).ok());
  return root;
}

bool IsInTree(const Directory& directory) {
  for (const char* name : {"in", "in/a", "in/a/b"}) {
    Directory known;
    MUST_HOLD(OpenDirectory(FuzzPath(name), ParentPolicy::kTrust, &known).ok());
    if (known.identity == directory.identity) return true;
  }
  return false;
}

void RunBeneath(const uint8_t* data, size_t size) {
  const std::string path(reinterpret_cast<const char*>(data), size);
  // The system ends a path there.
  if (path.empty() || path.find('\0') != std::string::npos) return;
  Directory outside;
  const Directory root = MakeTree(&outside);
  Directory opened;
  if (OpenBeneath(root, path, &opened).ok()) MUST_HOLD(IsInTree(opened));
  Handle start;
  MUST_HOLD(OpenForReading(root, &start).ok());
  Handle walked;
  if (WalkToDirectory(std::move(start), path, WalkPolicy::kBeneath, &walked).ok()) {
    Directory found;
    MUST_HOLD(DescribeDirectory(std::move(walked), &found).ok());
    MUST_HOLD(IsInTree(found));
  }
  // Without links on the way, from the root of the tree, ".." is all that leads out.
  Directory strict;
  if (OpenDirectory(FuzzPath("in/") + path, ParentPolicy::kRefuseLinks, &strict).ok()) {
    if (path.find("..") == std::string::npos) MUST_HOLD(IsInTree(strict));
  }
}
const FuzzTarget beneath_target("beneath", RunBeneath);

// ---- A log that ends anywhere ----

void RunAppend(const uint8_t* data, size_t size) {
  const size_t cut = size == 0 ? 0 : data[0] % (size + 1);
  const std::string before(reinterpret_cast<const char*>(data), cut);
  const std::string lines =
      std::string(reinterpret_cast<const char*>(data) + cut, size - cut) + '\n';
  AppendLogRequest request;
  request.path = FuzzPath("log");
  SetContents(request.path, before.data(), before.size());
  AppendLog log(request);
  MUST_HOLD(log.Open().ok());
  bool appended = false;
  MUST_HOLD(log.Append(lines, /*without_lock=*/false, &appended).ok() && appended);
  const std::vector<char> found = Contents(request.path);
  const bool open_line = !before.empty() && before.back() != '\n';
  const std::string expected = before + (open_line ? "\n" : "") + lines;
  MUST_HOLD(std::string(found.begin(), found.end()) == expected);
}
const FuzzTarget append_target("append_log", RunAppend);

// ---- A part of a file, from any offset on ----

void RunRange(const uint8_t* data, size_t size) {
  if (size < sizeof(uint64_t) + 2) return;
  uint64_t offset = 0;
  std::memcpy(&offset, data, sizeof(offset));
  if (data[sizeof(offset)] % 2 == 0) offset %= 64;
  const std::string bytes(reinterpret_cast<const char*>(data) + sizeof(offset) + 2,
                          size - sizeof(offset) - 2);
  const std::string path = FuzzPath("range");
  SetContents(path, bytes.data(), bytes.size());
  FileRange range;
  range.path = path;
  range.offset = offset;
  bool exists = false;
  std::vector<char> found;
  const size_t wanted = data[sizeof(offset) + 1];
  if (ReadRange(range, wanted, &exists, &found).ok()) {
    const std::string expected = offset >= bytes.size() ? "" : bytes.substr(offset, wanted);
    MUST_HOLD(exists && std::string(found.begin(), found.end()) == expected);
  }
  uint64_t file_size = 0;
  TailRequest tail;
  tail.range = range;
  tail.durability = Durability::kNone;
  const Error error = WriteTail(tail, "tail", 4, &exists, &file_size);
  const std::vector<char> after = Contents(path);
  const std::string now(after.begin(), after.end());
  if (error.ok() && file_size >= offset) {
    MUST_HOLD(now == bytes.substr(0, offset) + "tail");
  } else {
    MUST_HOLD(now == bytes);
  }
}
const FuzzTarget range_target("file_range", RunRange);

// ---- A whole file, up to a limit ----

void RunRead(const uint8_t* data, size_t size) {
  const std::string path = FuzzPath("whole");
  SetContents(path, data, size);
  ReadRequest request;
  request.path = path;
  request.max_bytes = 100;
  ReadOutcome outcome;
  const Error error = ReadRegularFile(request, &outcome);
  MUST_HOLD(error.ok() == (size <= request.max_bytes));
  if (error.ok()) MUST_HOLD(outcome.contents.size() == size);
}
const FuzzTarget read_target("read_file", RunRead);

}  // namespace

}  // namespace holdfast
