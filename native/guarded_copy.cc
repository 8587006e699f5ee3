#include "guarded_copy.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "bounds.h"
#include "checksum.h"
#include "owner_rule.h"
#include "path.h"

namespace holdfast {

namespace {

constexpr uint32_t kModeBits = 07777;
constexpr std::chrono::milliseconds kLockInterval(10);
constexpr int kMaxLockTries = 1000;
constexpr int kMaxPublishTries = 100;
constexpr char kMagic[] = "holdfast copy 1";

// What precedes the old contents in a journal. It is read on the machine that wrote it only.
struct JournalHeader {
  char magic[sizeof(kMagic)];
  FileIdentity target;
  // A file that was made since under the same number is not the target.
  uint64_t target_born;
  uint64_t size;
  uint32_t name_sum;
  uint32_t mode;
  uint32_t contents_sum;
  uint32_t sum;  // of all before it

  uint32_t Sum() const {
    return Crc32(reinterpret_cast<const char*>(this), offsetof(JournalHeader, sum));
  }
  bool IsValid() const { return memcmp(magic, kMagic, sizeof(kMagic)) == 0 && sum == Sum(); }
  bool IsFor(const std::string& name, NativeHandle file) const {
    return name_sum == Crc32(name.data(), name.size()) && target_born == BirthTime(file);
  }
};

std::string JournalName(const FileIdentity& target) {
  return kTemporaryPrefix + std::to_string(target.device) + '-' +
         std::to_string(target.inode_high) + '-' + std::to_string(target.inode) + ".journal";
}

// Blocks for as long as a living process may need for a copy.
template <typename Try>
Error LockBy(Try try_lock) {
  for (int tries = 0; tries < kMaxLockTries; tries++) {
    bool granted = false;
    Error error = try_lock(&granted);
    if (!error.ok() || granted) return error;
    std::this_thread::sleep_for(kLockInterval);
  }
  return Error::FromSystem(EBUSY, "flock");
}

Error LockJournal(NativeHandle journal) {
  return LockBy([&](bool* granted) { return TryLock(journal, LockMode::kExclusive, granted); });
}

Error LockTarget(NativeHandle target) {
  return LockBy([&](bool* granted) { return TryLockContents(target, granted); });
}

using PieceFunction = std::function<void(const char*, size_t)>;

// Copies [begin, end) of `from` to the same place in `to`, `shift` bytes further on; `to` may be none.
Error CopyRange(NativeHandle from, uint64_t from_offset, NativeHandle to, uint64_t to_offset,
                uint64_t size, const PieceFunction& each_piece = {}) {
  std::vector<char> buffer(std::min<uint64_t>(size, kPiece));
  while (size > 0) {
    const size_t wanted = std::min<uint64_t>(size, buffer.size());
    size_t read = 0;
    Error error = ReadAt(from, from_offset, buffer.data(), wanted, &read);
    if (error.ok() && read < wanted) error = Error::FromSystem(EIO, "read");
    if (!error.ok()) return error;
    if (each_piece) each_piece(buffer.data(), read);
    if (to != kNoHandle) error = WriteAt(to, to_offset, buffer.data(), read);
    if (!error.ok()) return error;
    from_offset += read;
    to_offset += read;
    size -= read;
  }
  return {};
}

// The old contents, kept until the new ones are whole.
struct Journal {
  const Directory* directory = nullptr;
  std::string name;
  Handle file;
  FileIdentity identity;
  JournalHeader header{};

  Error RestoreTo(NativeHandle target) const {
    Error error = CopyRange(file.get(), sizeof(header), target, 0, header.size);
    if (error.ok()) error = Truncate(target, header.size);
    if (error.ok()) error = SetMode(target, header.mode);
    return error.ok() ? Flush(target, Durability::kFull) : error;
  }

  Error Remove() const { return RemoveName(*directory, name, identity); }

  // Ends the copy. The journal is emptied and removed, each of which says so to ReplayFrom(): it may not be ours to remove,
  // and on old file systems of Windows it keeps its name for as long as a reader has it open.
  Error Retire(Durability durability) const {
    Error emptied = Truncate(file.get(), 0);
    if (!Remove().ok()) return emptied.ok() ? Flush(file.get(), durability) : emptied;
    // Else a loss of power could bring the journal back, and with it the old contents.
    return durability == Durability::kFull ? FlushDirectory(*directory) : Error{};
  }
};

Error WriteJournal(const Directory& directory, const std::string& name, NativeHandle target,
                   const FileStatus& status, Journal* journal) {
  TemporaryFile temporary;
  Error error = CreateTemporary(directory, kPrivateMode, &temporary);
  if (!error.ok()) return error;
  JournalHeader& header = journal->header;
  memcpy(header.magic, kMagic, sizeof(kMagic));
  header.target = status.identity;
  header.target_born = BirthTime(target);
  header.name_sum = Crc32(name.data(), name.size());
  header.size = status.size;
  header.mode = status.mode & kModeBits;
  const NativeHandle file = temporary.file.get();
  error = Reserve(file, sizeof(header) + header.size);
  if (error.ok()) error = SetMode(file, kPrivateMode);
  if (error.ok()) {
    error =
        CopyRange(target, 0, file, sizeof(header), header.size, [&](const char* data, size_t size) {
          header.contents_sum = Crc32(data, size, header.contents_sum);
        });
  }
  header.sum = header.Sum();
  if (error.ok()) {
    error = WriteAt(file, 0, reinterpret_cast<const char*>(&header), sizeof(header));
  }
  if (error.ok()) error = Flush(file, Durability::kFull);
  // Held from before the journal can be found until the copy is done: a free one was left by a crash.
  if (error.ok()) error = LockJournal(file);
  temporary.stays_locked = true;
  bool published = false;
  journal->name = JournalName(status.identity);
  // The journal of the copy before this one has been removed, but on Windows it may keep its name for as long as a reader
  // has it open.
  for (int tries = 0; error.ok() && !published && tries < kMaxPublishTries; tries++) {
    if (tries > 0) std::this_thread::sleep_for(kLockInterval);
    error = PublishNew(directory, &temporary, journal->name, &published);
  }
  if (error.ok() && !published) error = Error::FromSystem(EBUSY, "link");
  // Only now: to publish it may have taken another file.
  FileStatus written;
  if (error.ok()) error = InspectFile(temporary.file.get(), &written);
  if (error.ok()) error = FlushDirectory(directory);
  if (!error.ok()) {
    if (published) static_cast<void>(RemoveName(directory, journal->name, written.identity));
    DiscardTemporary(directory, &temporary);
    return error;
  }
  journal->directory = &directory;
  journal->identity = written.identity;
  journal->file = std::move(temporary.file);
  return {};
}

// What is beyond the old end comes first and the end last, so that a failure half way finds the old bytes in place for
// as long as possible.
Error Overwrite(const GuardedCopy& copy, NativeHandle target, uint64_t old_size) {
  const uint64_t common = std::min(copy.size, old_size);
  Error error = CopyRange(copy.source, common, target, common, copy.size - common);
  if (error.ok()) error = CopyRange(copy.source, 0, target, 0, common);
  if (error.ok() && copy.size < old_size) error = Truncate(target, copy.size);
  if (error.ok() && copy.mode) error = SetMode(target, *copy.mode);
  return error.ok() ? Flush(target, copy.durability) : error;
}

Error OpenTarget(const GuardedCopy& copy, Handle* target, FileStatus* status) {
  Error error = OpenFile(*copy.directory, copy.name, FileAccess::kReadWrite, target, status);
  if (!error.ok()) return error;
  // All that was checked by name is checked on the descriptor that is written to.
  if (!target->valid() || status->identity != copy.expected) {
    return Error::FromSystem(ESTALE, "open");
  }
  // Nothing is ever written into a file that its owner could have planted.
  error = CheckOpenFile(*copy.directory, *status, /*trust_any_owner=*/false);
  if (error.ok()) error = LockTarget(target->get());
  bool in_place = false;
  if (error.ok()) error = CheckName(*copy.directory, copy.name, copy.expected, &in_place);
  if (error.ok() && !in_place) error = Error::FromSystem(ESTALE, "open");
  return error.ok() ? InspectFile(target->get(), status) : error;
}

Error ReplayFrom(const Directory& place, const Directory& directory, const std::string& name,
                 const FileStatus& target_status) {
  const FileIdentity& target_identity = target_status.identity;
  Journal journal;
  FileStatus status;
  journal.directory = &place;
  journal.name = JournalName(target_identity);
  Error error = OpenFile(place, journal.name, FileAccess::kReadWrite, &journal.file, &status);
  if (!error.ok() || !journal.file.valid()) return error;
  journal.identity = status.identity;
  // Somebody who may write the directory, but not the file, must not have us write into it and set its mode.
  if (status.kind != FileKind::kRegular || !IsPrivate(journal.file.get(), status) ||
      !IsTrustedOwner(status.owner, target_status.owner)) {
    return Error::Refused(Refusal::kForeignOwner, EPERM, "open", {}, status.owner);
  }
  error = LockJournal(journal.file.get());
  FileStatus now;
  if (error.ok()) error = InspectName(place, journal.name, &now);
  if (!error.ok() || now.identity != journal.identity) return error;  // its copy has ended
  if (now.size == 0) {
    static_cast<void>(journal.Remove());  // retired: nothing hangs on it any more
    return {};
  }

  size_t read = 0;
  JournalHeader& header = journal.header;
  error = ReadAt(journal.file.get(), 0, reinterpret_cast<char*>(&header), sizeof(header), &read);
  if (!error.ok()) return error;
  uint32_t sum = 0;
  const bool whole = read == sizeof(header) && header.IsValid() &&
                     header.target == target_identity &&
                     CopyRange(journal.file.get(), sizeof(header), kNoHandle, 0, header.size,
                               [&](const char* data, size_t size) { sum = Crc32(data, size, sum); })
                         .ok() &&
                     sum == header.contents_sum;
  if (!whole) return Error::Refused(Refusal::kForeignContent, EINVAL, "read");
  Handle target;
  error = OpenFile(directory, name, FileAccess::kReadWrite, &target, &status);
  if (!error.ok() || (target.valid() && status.identity != target_identity)) return error;
  if (target.valid() && header.IsFor(name, target.get())) {
    error = LockTarget(target.get());
    if (error.ok()) error = journal.RestoreTo(target.get());
  }
  return error.ok() ? journal.Remove() : error;
}

}  // namespace

Error GuardedCopy::Run(TargetState* state, bool* conflict) const {
  *state = TargetState::kOld;
  *conflict = false;
  Handle target;
  FileStatus status;
  Error error = OpenTarget(*this, &target, &status);
  if (!error.ok()) return error;
  if (version) {
    // Whoever copies as well has done that by now, or waits for our lock.
    *conflict = !(VersionOf(status) == *version) || !IsInPlace();
    if (*conflict) return {};
  }

  Journal journal;
  Directory elsewhere;
  error = WriteJournal(*directory, name, target.get(), status, &journal);
  if (!error.ok() && !journal_directory.empty()) {
    error = OpenDirectory(journal_directory, ParentPolicy::kTrust, &elsewhere);
    if (error.ok()) error = WriteJournal(elsewhere, name, target.get(), status, &journal);
  }
  if (!error.ok()) return error;

  if (size > status.size) error = Reserve(target.get(), size);
  if (!error.ok()) {
    static_cast<void>(Truncate(target.get(), status.size));
    static_cast<void>(journal.Retire(Durability::kNone));
    return error;
  }
  *state = TargetState::kUnknown;
  error = Overwrite(*this, target.get(), status.size);
  if (error.ok()) {
    *state = TargetState::kNew;
    error = journal.Retire(durability);
    // Somebody who may replace the file, as we may not, has done that, and our bytes are in none that has a name.
    *conflict = version && !IsInPlace();
    return error;
  }
  // The first error is the one to report; without a restoration the journal stays for the next use.
  if (journal.RestoreTo(target.get()).ok() && journal.Retire(Durability::kNone).ok()) {
    *state = TargetState::kRestored;
  }
  return error;
}

bool GuardedCopy::IsInPlace() const {
  FileStatus now;
  return InspectName(*directory, name, &now).ok() && now.identity == expected;
}

Error ReplayJournals(const Directory& directory, const std::string& name,
                     const std::string& journal_directory) {
  FileStatus target;
  Error error = InspectName(directory, name, &target);
  if (!error.ok() || target.kind != FileKind::kRegular) return error;
  error = ReplayFrom(directory, directory, name, target);
  if (!error.ok() || journal_directory.empty()) return error;
  Directory elsewhere;
  error = OpenDirectory(journal_directory, ParentPolicy::kTrust, &elsewhere);
  if (!error.ok()) return WithPath(error, journal_directory);
  return ReplayFrom(elsewhere, directory, name, target);
}

bool HasJournal(const Directory& directory, const FileIdentity& target,
                const std::string& journal_directory) {
  const std::string name = JournalName(target);
  FileStatus status;
  // An empty one is retired.
  if (InspectName(directory, name, &status).ok() && status.size > 0) return true;
  Directory elsewhere;
  return !journal_directory.empty() &&
         OpenDirectory(journal_directory, ParentPolicy::kTrust, &elsewhere).ok() &&
         InspectName(elsewhere, name, &status).ok() && status.size > 0;
}

}  // namespace holdfast
