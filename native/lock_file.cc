#include "lock_file.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "bounds.h"
#include "owner_rule.h"
#include "path.h"

namespace holdfast {

namespace {

constexpr int kMaxReads = 3;

// Brings a lock file into being so that a kill at any moment leaves either nothing or a usable one, and nobody sees it
// half made. Where the file system has no way for that, it is created in its place and stays empty, which is a valid
// lock file; a kill before its mode is set, under a umask that takes away the owner's own bits, would leave one that its
// owner cannot open. That the name exists by now is no error: the caller opens what is there.
Error CreateLockFile(const Directory& directory, const std::string& name, uint32_t mode,
                     NativeHandle model, const RecordBlock& block) {
  TemporaryFile temporary;
  Error error = CreateTemporary(directory, kPrivateMode, &temporary);
  if (!error.ok()) return error;
  error = WriteAt(temporary.file.get(), 0, block.data(), block.size());
  if (error.ok()) error = SetLockFileAccess(directory, model, mode, temporary.file.get());
  bool published = false;
  if (error.ok()) error = PublishNew(directory, &temporary, name, &published);
  if (!published) DiscardTemporary(directory, &temporary);
  if (error.number != ENOTSUP) return error;
  bool created = false;
  return CreateEmpty(directory, name, mode & kPermissions, &created);
}

}  // namespace

Error OpenOrCreate(const LockRequest& request, const Directory& directory, const std::string& name,
                   Handle* file, FileIdentity* identity, NativeHandle model) {
  for (int round = 0; round < kMaxRounds; round++) {
    FileStatus status;
    Error error = OpenLockFile(directory, name, file, &status);
    if (!error.ok()) return error;
    if (file->valid()) {
      if (status.link_count == 0) {  // removed since it was opened
        file->Reset();
        continue;
      }
      *identity = status.identity;
      return CheckOpenFile(directory, status, request.trust_any_owner);
    }
    // Room for the record, but none yet: the first token must be as late as the first grant. One from now could come
    // after that of another lock file, which had this name and lost it before ours gets it.
    const RecordBlock block{};
    error = CreateLockFile(directory, name, request.file_mode, model, block);
    if (!error.ok()) return error;
  }
  return Error::FromSystem(ESTALE, "open");
}

Error SetLockFileAccess(const Directory& directory, NativeHandle model, uint32_t mode,
                        NativeHandle file) {
  FileStatus status;
  if (model != kNoHandle) {
    Error error = InspectFile(model, &status);
    if (!error.ok()) return error;
    if (IsTrusted(directory, status)) return KeepAccess(model, status, mode, file);
  }
  return SetMode(file, mode & kPermissions);
}

Error ReadRecord(NativeHandle file, uint64_t file_size, DecodedRecord* record) {
  RecordBlock block;
  size_t size = 0;
  Error error = ReadAt(file, 0, block.data(), block.size(), &size);
  if (!error.ok()) return error;
  *record = DecodeRecord(block.data(), size, std::max<uint64_t>(file_size, size));
  return {};
}

Error WriteRecord(NativeHandle file, const Record& record) {
  RecordBlock block;
  EncodeRecord(record, &block);
  return WriteAt(file, 0, block.data(), block.size());
}

Error ReadHolder(NativeHandle file, DecodedRecord* record) {
  // The holder may be writing: what is torn at the first read is whole at the next.
  for (int reads = 0; reads < kMaxReads; reads++) {
    // One byte more than a record has, so that a longer file shows.
    std::array<char, kRecordSize + 1> start;
    size_t size = 0;
    Error error = ReadAt(file, 0, start.data(), start.size(), &size);
    if (!error.ok()) return error;
    *record = DecodeRecord(start.data(), size, size);
    if (record->state != RecordState::kMalformed) return {};
  }
  return {};
}

Error HandleForLooking(const LockFile& lock_file, Handle* fresh, NativeHandle* file) {
  *file = lock_file.file.get();
  if (lock_file.file_system == FileSystemClass::kLocal) return {};
  // A file that is open may show what it was a minute ago; opening it asks the other machine: nfs(5), "close-to-open".
  FileStatus status;
  const LockLocation& location = lock_file.location;
  Error error = OpenLockFile(location.directory, location.name, fresh, &status);
  if (error.ok() && fresh->valid()) *file = fresh->get();
  return error;
}

Record WithoutHolder(const Record& record) {
  Record cleared;
  cleared.token = record.token;
  cleared.ttl = record.ttl;
  cleared.epoch = record.epoch;
  cleared.directory = record.directory;
  return cleared;
}

Error IsInPlace(const LockFile& lock_file, bool* in_place) {
  FileStatus status;
  Error error = InspectName(lock_file.location.directory, lock_file.location.name, &status);
  *in_place = status.kind != FileKind::kAbsent && status.identity == lock_file.identity;
  if (error.ok() && *in_place && kLockFilesHaveSlots) {
    DecodedRecord record;
    error = ReadHolder(lock_file.file.get(), &record);
    *in_place = record.record.epoch == lock_file.slot;
  }
  return WithPath(error, lock_file.location.path);
}

}  // namespace holdfast
