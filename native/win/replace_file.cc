// From the best way to put one file in the place of another to the last: a POSIX rename, after which open handles go on
// with the old file; a plain rename, for volumes that have no other; ReplaceFileW(), for a target that is held open there.
#include <mutex>
#include <set>

#include "../temporary_name.h"
#include "win.h"

namespace holdfast {

namespace {

// What a system or volume says that knows no POSIX rename; a filter driver may be the one who does not know it.
bool IsUnknownRename(NTSTATUS status) {
  switch (static_cast<uint32_t>(status)) {
    case 0xC000000D:  // STATUS_INVALID_PARAMETER
    case 0xC0000003:  // STATUS_INVALID_INFO_CLASS
    case 0xC00000BB:  // STATUS_NOT_SUPPORTED
    case 0xC0000010:  // STATUS_INVALID_DEVICE_REQUEST
    case 0xC0000002:  // STATUS_NOT_IMPLEMENTED
    case 0xC0000148:  // STATUS_INVALID_LEVEL
    case 0xC0000427:  // STATUS_FILE_SYSTEM_LIMITATION
      return true;
    default:
      return false;
  }
}

// Volumes that were found not to know it.
class PlainVolumes {
 public:
  bool Has(uint64_t volume) {
    std::lock_guard<std::mutex> guard(mutex_);
    return volumes_.count(volume) != 0;
  }
  void Add(uint64_t volume) {
    std::lock_guard<std::mutex> guard(mutex_);
    volumes_.insert(volume);
  }

 private:
  std::mutex mutex_;
  std::set<uint64_t> volumes_;
};

PlainVolumes& Plain() {
  static auto* const kVolumes =
      new PlainVolumes;  // never freed: threads may outlive the environment
  return *kVolumes;
}

NTSTATUS RenameOver(HANDLE file, const Directory& directory, const std::string& name) {
  const uint64_t volume = directory.identity.device;
  if (!Plain().Has(volume)) {
    const NTSTATUS status =
        Rename(file, directory, name, kRenameInformationEx, kRenameReplace | kRenamePosix);
    if (!IsUnknownRename(status)) return status;
    Plain().Add(volume);
  }
  return Rename(file, directory, name, kRenameInformation, kRenameReplace);
}

NTSTATUS OpenForRemoval(const Directory& directory, const std::string& name, Handle* file) {
  OpenRequest request;
  request.parent = HandleOf(directory.handle);
  request.name = ToWide(name);
  request.access = DELETE | FILE_READ_ATTRIBUTES;
  return Open(request, file);
}

// Removes the file with POSIX semantics: its name is free when this handle is closed, whoever else has one.
NTSTATUS FreeName(HANDLE file) {
  struct {
    ULONG flags = 0x1 | 0x2 | 0x10;  // delete, POSIX semantics, also if it is read-only
  } information;
  constexpr int kDispositionInformationEx = 64;
  IO_STATUS_BLOCK block;
  return system_calls.nt_set_information_file(file, &block, &information, sizeof(information),
                                              kDispositionInformationEx);
}

// A denied rename does not say whether the target may not be removed, or is in use. Opening it for removal does.
enum class Obstacle : uint8_t { kPermission, kGone, kOpenHandle, kSharedHandle };

Obstacle FindObstacle(const Directory& directory, const std::string& name) {
  Handle target;
  const NTSTATUS status = OpenForRemoval(directory, name, &target);
  if (status == kSharingViolation) return Obstacle::kOpenHandle;
  if (IsAbsent(status)) return Obstacle::kGone;
  if (status < 0) return Obstacle::kPermission;
  FileStatus found;
  // What is no file is not what was to be replaced, and ReplaceFileW() must not come near it.
  const bool writable = DescribeFile(HandleOf(target), &found).ok() &&
                        found.kind == FileKind::kRegular && (found.mode & kOwnerWrite) != 0;
  return writable ? Obstacle::kSharedHandle : Obstacle::kPermission;
}

Error FullPath(const Directory& directory, std::wstring* path) {
  path->resize(32768);
  const DWORD length =
      GetFinalPathNameByHandleW(HandleOf(directory.handle), path->data(),
                                static_cast<DWORD>(path->size()), FILE_NAME_NORMALIZED);
  if (length == 0) return LastError("rename");
  path->resize(length);
  if (path->back() != L'\\') path->push_back(L'\\');
  return {};
}

bool Exists(const Directory& directory, const std::string& name) {
  FileStatus status;
  return InspectName(directory, name, &status).ok() && status.kind == FileKind::kRegular;
}

void RemoveBackup(const Directory& directory, const std::string& name) {
  FileStatus status;
  if (InspectName(directory, name, &status).ok() && status.kind == FileKind::kRegular) {
    static_cast<void>(RemoveName(directory, name, status.identity));
  }
}

// What the old file is called until the new one is in its place. It is no temporary file: for a moment, which a kill can
// make a long one, it is all there is.
constexpr char kBackupSuffix[] = ".old";

// ReplaceFileW() moves the old file to the name `backup` and the new one into its place, and may fail in between.
// Afterwards `*temporary` has no name any more if it was published.
class FileReplacement {
 public:
  FileReplacement(const Directory& directory, TemporaryFile* temporary, const std::string& name)
      : directory_(directory), temporary_(temporary), name_(name) {}

  Error Run(Publication* publication) {
    std::wstring path;
    Error error = FullPath(directory_, &path);
    if (error.ok()) error = RandomName(kBackupSuffix, &backup_);
    if (error.ok()) error = PassAccessOn();
    if (!error.ok()) {
      TakeAccessBack();
      return error;
    }
    error = Replace(path, publication);
    if (!error.ok()) {
      TakeAccessBack();
      if (error.number == EPERM || error.number == ENOENT) {
        error.transient = FindObstacle(directory_, name_) != Obstacle::kPermission;
      }
      return error;
    }
    publication->method = ReplaceMethod::kReplaceFile;
    temporary_->name = name_;
    static_cast<void>(ReopenTemporary(directory_, temporary_));
    temporary_->name.clear();
    old_.Reset();
    RemoveBackup(directory_, backup_);
    return {};
  }

 private:
  // The new file keeps the access list that the old one has, not its own: so the old one gets that first.
  Error PassAccessOn() {
    OpenRequest request;
    request.parent = HandleOf(directory_.handle);
    request.name = ToWide(name_);
    request.access = READ_CONTROL | WRITE_DAC;
    const NTSTATUS status = Open(request, &old_);
    if (status < 0) return FromStatus(status, "chmod");
    AccessList list;
    Error error = ReadAccess(HandleOf(old_), &old_access_);
    if (error.ok()) error = ReadAccess(HandleOf(temporary_->file), &list);
    return error.ok() ? WriteAccess(HandleOf(old_), std::move(list)) : error;
  }

  void TakeAccessBack() {
    if (!old_access_.empty()) static_cast<void>(WriteAccess(HandleOf(old_), old_access_));
  }

  Error Replace(const std::wstring& path, Publication* publication) {
    // It opens the file itself, and lets nobody else have it open.
    temporary_->file.Reset();
    const std::wstring target = path + ToWide(name_);
    const std::wstring source = path + ToWide(temporary_->name);
    const std::wstring backup = path + ToWide(backup_);
    if (system_calls.replace_file(target.c_str(), source.c_str(), backup.c_str(),
                                  REPLACEFILE_IGNORE_MERGE_ERRORS, nullptr, nullptr)) {
      return {};
    }
    Error error = LastError("ReplaceFileW");
    if (error.system_code == ERROR_UNABLE_TO_MOVE_REPLACEMENT_2) {
      return PutInPlace(error, publication);
    }
    // 1175 and 1176, with a backup name, and all others leave both files under their names.
    error.transient = error.number == EBUSY;
    static_cast<void>(ReopenTemporary(directory_, temporary_));
    return error;
  }

  // The name leads nowhere; the old file is under the backup's name, the new one under its own. Neither is removed before
  // the other is in place, and what somebody else has put there stays.
  Error PutInPlace(const Error& reason, Publication* publication) {
    if (!ReopenTemporary(directory_, temporary_).ok()) return TakeBack(reason, publication);
    if (Rename(HandleOf(temporary_->file), directory_, name_, kRenameInformation, 0) >= 0) {
      temporary_->file.Reset();
      return {};
    }
    return TakeBack(reason, publication);
  }

  Error TakeBack(Error reason, Publication* publication) {
    OpenRequest request;
    request.parent = HandleOf(directory_.handle);
    request.name = ToWide(backup_);
    request.access = DELETE;  // and no more: somebody may have it open and share no more
    Handle old;
    reason.transient = Open(request, &old) >= 0 &&
                       Rename(HandleOf(old), directory_, name_, kRenameInformation, 0) >= 0;
    if (!reason.transient && temporary_->file.valid() && Exists(directory_, name_)) {
      // Somebody else has replaced the file meanwhile, as they could have the moment before.
      temporary_->superseded.push_back(backup_);
      reason.transient = true;
    }
    publication->target_lost = !reason.transient;
    return reason;
  }

  const Directory& directory_;
  TemporaryFile* const temporary_;
  const std::string& name_;
  std::string backup_;
  Handle old_;
  AccessList old_access_;
};

Error Publish(const Directory& directory, TemporaryFile* temporary, const std::string& name,
              const PublishOptions& options, Publication* publication) {
  if (options.keep_streams && Exists(directory, name)) {
    return FileReplacement(directory, temporary, name).Run(publication);
  }
  const NTSTATUS status = RenameOver(HandleOf(temporary->file), directory, name);
  if (status >= 0) {
    temporary->name.clear();
    return {};
  }
  Error error = FromStatus(status, "rename");
  if (status != kAccessDenied && !error.transient) return error;
  const Obstacle obstacle = FindObstacle(directory, name);
  // The rename calls it denied; that the file is busy says more.
  if (obstacle == Obstacle::kOpenHandle) error = FromStatus(kSharingViolation, "rename");
  error.transient = obstacle != Obstacle::kPermission;
  if (obstacle != Obstacle::kSharedHandle || !options.in_two_steps) return error;
  Error second = FileReplacement(directory, temporary, name).Run(publication);
  // The first error is the one that tells what is the matter.
  return second.ok() || publication->target_lost ? second : error;
}

}  // namespace

NTSTATUS Rename(HANDLE file, const Directory& directory, const std::string& name, int kind,
                ULONG flags) {
  // FILE_RENAME_INFORMATION, and ..._EX with flags where that has a BOOLEAN.
  struct RenameInformation {
    ULONG flags;
    HANDLE root;
    ULONG name_size;
    wchar_t name[1];
  };
  const std::wstring wide = ToWide(name);
  const size_t name_size = wide.size() * sizeof(wchar_t);
  std::vector<char> buffer(sizeof(RenameInformation) + name_size);
  auto* information = reinterpret_cast<RenameInformation*>(buffer.data());
  information->flags = flags;
  information->root = HandleOf(directory.handle);
  information->name_size = static_cast<ULONG>(name_size);
  memcpy(information->name, wide.data(), name_size);
  IO_STATUS_BLOCK block;
  return system_calls.nt_set_information_file(file, &block, buffer.data(),
                                              static_cast<ULONG>(buffer.size()), kind);
}

Error LinkFile(const Directory& directory, NativeHandle file, const std::string& /*from*/,
               const std::string& to) {
  // FILE_LINK_INFORMATION is laid out as what Rename() passes.
  constexpr int kLinkInformation = 11;
  const NTSTATUS status = Rename(HandleOf(file), directory, to, kLinkInformation, 0);
  return status < 0 ? FromStatus(status, "link") : Error{};
}

Error ResolvePath(const Directory& directory, std::string* path) {
  std::wstring wide;
  Error error = FullPath(directory, &wide);
  if (error.ok()) *path = ToUtf8(wide);
  return error;
}

Error PublishReplacing(const Directory& directory, TemporaryFile* temporary,
                       const std::string& name, const PublishOptions& options,
                       Publication* publication) {
  publication->method = ReplaceMethod::kRename;
  Error error;
  // A try before this one may have had to close the file, and not been let in again.
  if (!temporary->file.valid()) error = ReopenTemporary(directory, temporary);
  if (error.ok()) error = StampModified(temporary->file.get());
  if (error.ok()) error = SetDeleteOnClose(HandleOf(temporary->file), false);
  if (!error.ok()) return error;
  error = Publish(directory, temporary, name, options, publication);
  if (error.ok()) {
    for (const std::string& superseded : temporary->superseded) RemoveBackup(directory, superseded);
  }
  // A kill while the next try is waited for leaves nothing.
  if (!error.ok() && temporary->file.valid()) {
    static_cast<void>(SetDeleteOnClose(HandleOf(temporary->file), true));
  }
  return error;
}

Error RemoveName(const Directory& directory, const std::string& name,
                 const FileIdentity& identity) {
  Handle file;
  const NTSTATUS opened = OpenForRemoval(directory, name, &file);
  if (IsAbsent(opened)) return {};
  if (opened < 0) return FromStatus(opened, "unlink");
  FileStatus status;
  Error error = DescribeFile(HandleOf(file), &status);
  if (!error.ok() || status.identity != identity) return error;
  // The name is free at once, whoever has the file open.
  if (FreeName(HandleOf(file)) >= 0) return {};
  // Elsewhere a name is kept until the last of them closes the file: then it had better be another one.
  std::string aside;
  if (RandomName(kTemporarySuffix, &aside).ok()) {
    static_cast<void>(Rename(HandleOf(file), directory, aside, kRenameInformation, 0));
  }
  return SetDeleteOnClose(HandleOf(file), true);
}

Error RemoveLockFile(const Directory& directory, const std::string& name,
                     const FileIdentity& identity) {
  if (!system_calls.frees_names_at_once) return {};
  Handle file;
  const NTSTATUS opened = OpenForRemoval(directory, name, &file);
  if (opened < 0) return IsAbsent(opened) ? Error{} : FromStatus(opened, "unlink");
  FileStatus status;
  Error error = DescribeFile(HandleOf(file), &status);
  // A volume that knows no such thing (FAT) keeps the lock file.
  if (error.ok() && status.identity == identity) static_cast<void>(FreeName(HandleOf(file)));
  return error;
}

Error TryAttribute(const std::string& path) {
  const std::wstring stream = ToWide(path) + L":holdfast";
  const Handle file = Owned(CreateFileW(stream.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr,
                                        CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, nullptr));
  return file.valid() ? Error{} : LastError("open");
}

}  // namespace holdfast
