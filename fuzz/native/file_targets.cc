// Functions that read what somebody else may have written, or go where somebody else's names lead.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "append_log.h"
#include "attempt.h"
#include "checksum.h"
#include "file_range.h"
#include "path.h"
#include "posix/posix.h"
#include "read_file.h"
#include "targets.h"
#include "undo_replay.h"

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

// ---- An undo file with these contents, as a crash or another user may have left it ----

// Which parts are made right, so that the bytes get further.
enum Mended : uint8_t {
  kMagic = 1,
  kIdentity = 2,
  kSizes = 4,
  kSums = 8,
  kSum = 16,
  kSeal = 32,
};

// The first byte says what is mended, the second how much of the rest the target holds.
void RunUndoFile(const uint8_t* data, size_t size) {
  if (size < 2 + sizeof(UndoHeader)) return;
  const auto is_mended = [&](Mended part) { return (data[0] & part) != 0; };
  UndoHeader header;
  std::memcpy(&header, data + 2, sizeof(header));
  const char* const rest = reinterpret_cast<const char*>(data) + 2 + sizeof(header);
  const size_t rest_size = size - 2 - sizeof(header);
  const size_t target_size = rest_size * data[1] / 256;
  const std::string before(rest, target_size);
  const std::string body(rest + target_size, rest_size - target_size);

  const std::string name = "file";
  const std::string target = FuzzPath(name);
  SetContents(target, before.data(), before.size());
  MUST_HOLD(chmod(target.c_str(), 0600) == 0);
  const Directory directory = OpenFuzzDirectory();
  Handle file;
  FileStatus status;
  MUST_HOLD(OpenFile(directory, name, FileAccess::kRead, &file, &status).ok());
  const UndoPlace place = PlaceBeside(directory, FuzzPath(""), name);
  if (is_mended(kMagic)) {
    std::memcpy(header.magic, kUndoMagic, sizeof(header.magic));
    place.by_name.copy(header.name, sizeof(header.name), sizeof(kTemporaryPrefix) - 1);
  }
  if (is_mended(kIdentity)) {
    header.inode = status.identity.inode;
    header.inode_high = status.identity.inode_high;
    header.born = BirthTime(file.get());
  }
  size_t sums_size = 0;
  if (is_mended(kSizes)) {
    header.new_size %= 3 * 4096;
    header.old_size = 0;
    sums_size = std::min<size_t>(header.FileSize() - sizeof(header), body.size());
    header.old_size = body.size() - sums_size;
    while (header.FileSize() > sizeof(header) + body.size() && header.old_size > 0) {
      header.old_size--;
      sums_size = header.FileSize() - sizeof(header) - header.old_size;
    }
  }
  if (is_mended(kSums) && sums_size <= body.size()) {
    header.sums_sum = Crc32(body.data(), sums_size);
    header.contents_sum = Crc32(body.data() + sums_size, body.size() - sums_size);
  }
  if (is_mended(kSum)) header.sum = header.Sum();

  const std::string undo = FuzzPath(place.by_name);
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes += body;
  SetContents(undo, bytes.data(), bytes.size());
  MUST_HOLD(chmod(undo.c_str(), 0600) == 0);
  if (is_mended(kSeal)) {
    timespec times[] = {{0, UTIME_OMIT}, {0, 0}};
    times[1].tv_sec = static_cast<time_t>(2114380800 + 2 * (header.sum & 0x7FFFFF));
    MUST_HOLD(utimensat(AT_FDCWD, undo.c_str(), times, 0) == 0);
  }

  const std::string nowhere;
  UndoSearch search(directory, target, name, nowhere);
  search.max_bytes = 2 * 4096;
  UndoSighting sighting;
  const Error error = ReplayUndoFiles(search, status, &sighting);
  const std::vector<char> found = Contents(target);
  const std::string after(found.begin(), found.end());
  FileStatus now;
  MUST_HOLD(InspectName(directory, name, &now).ok());
  MUST_HOLD((now.mode & ~kPermissions) == 0);
  const bool kept = access(undo.c_str(), F_OK) == 0;
  if (after != before || now.mode != 0600) {
    // Only bytes of a right and sealed undo file, and no more than may be read.
    MUST_HOLD(error.ok() && sighting.changed && is_mended(kSeal));
    MUST_HOLD(after == before || after == body.substr(body.size() - header.old_size));
    MUST_HOLD(after.size() <= search.max_bytes);
  }
  if (error.ok()) {
    // Under another first name it is emptied only.
    MUST_HOLD(!kept || sighting.unrelated.size() == 1 || Contents(undo).empty());
  } else {
    MUST_HOLD(kept);
    MUST_HOLD(error.number == EFBIG || error.refusal == Refusal::kObstacle ||
              error.refusal == Refusal::kChangedSinceCopy);
  }
  static_cast<void>(unlink(undo.c_str()));
  static_cast<void>(unlink(FuzzPath(UndoNameOf(header.inode_high, header.inode)).c_str()));
}
const FuzzTarget undo_file_target("undo_file", RunUndoFile);

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
