// The whole contract with the operating system. A port is the set of .cc files that define what is declared here;
// binding.gyp picks the files, so nothing outside a port asks which system it runs on. native/unsupported/ is the
// smallest port, native/posix/ holds what Linux and macOS share.
//
// Rules for every function:
// - it may be called from any thread, and from several at once for different handles;
// - it answers with an Error and never throws; contention is a value, not an error;
// - it restarts itself when a signal interrupts it, except where it says otherwise;
// - handles are not inherited by child processes;
// - Error::path is left empty: the caller knows the path it asked for.
#ifndef HOLDFAST_PLATFORM_H_
#define HOLDFAST_PLATFORM_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "error.h"

namespace holdfast {

// A file descriptor, or a HANDLE.
using NativeHandle = intptr_t;
constexpr NativeHandle kNoHandle = -1;

void CloseNativeHandle(NativeHandle handle);

// Owns a handle and closes it once.
class Handle {
 public:
  Handle() = default;
  explicit Handle(NativeHandle handle) : handle_(handle) {}
  Handle(Handle&& other) noexcept : handle_(other.Detach()) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) Reset(other.Detach());
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { Reset(); }

  NativeHandle get() const { return handle_; }
  bool valid() const { return handle_ != kNoHandle; }
  void Reset(NativeHandle handle = kNoHandle) {
    if (handle_ != kNoHandle) CloseNativeHandle(handle_);
    handle_ = handle;
  }
  NativeHandle Detach() {
    NativeHandle handle = handle_;
    handle_ = kNoHandle;
    return handle;
  }

 private:
  NativeHandle handle_ = kNoHandle;
};

// Equal for two handles exactly if they lead to one file. `inode_high` is for systems with 128-bit file ids.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t inode_high = 0;

  bool operator==(const FileIdentity& other) const {
    return device == other.device && inode == other.inode && inode_high == other.inode_high;
  }
  bool operator!=(const FileIdentity& other) const { return !(*this == other); }
};

// The characters that separate the components of a path.
extern const char kPathSeparators[];

// How many characters of an absolute path name its root: "/", "C:\", "\\server\share\".
size_t RootLength(const std::string& path);

// What all spellings have in common that the system takes for one name.
std::string CanonicalName(const std::string& name);

// ---- Directories and names -----------------------------------------------------------------------------------------

enum class ParentPolicy : uint8_t { kTrust, kRefuseLinks };

// A directory, opened once. Everything below it is reached through the handle, so that renaming or replacing a
// directory on the way cannot redirect what follows.
struct Directory {
  Handle handle;
  FileIdentity identity;
  uint32_t mode = 0;
  // A user other than its owner (and the superuser) may create and remove names in it. See IsShared().
  bool others_can_write = false;
  // Names can be made in it, and none be removed or replaced (chattr(1), chflags(1)).
  bool append_only = false;
  int64_t owner = -1;
};

// Opens the directory `path`. With kRefuseLinks a link anywhere on the way is Refusal::kLink.
Error OpenDirectory(const std::string& path, ParentPolicy parents, Directory* directory);

enum class FileSystemClass : uint8_t {
  kLocal,    // system calls answer at once, and the kernel wakes waiters
  kNetwork,  // another machine answers
  kUnknown,  // FUSE and whatever is not in the port's list
};

struct FileSystem {
  FileSystemClass kind = FileSystemClass::kUnknown;
  std::string name;  // "ext4", "nfs", or the number that the system gives
};

Error InspectFileSystem(const Directory& directory, FileSystem* file_system);

enum class FileKind : uint8_t { kAbsent, kRegular, kDirectory, kLink, kOther };

struct FileStatus {
  FileKind kind = FileKind::kAbsent;
  FileIdentity identity;
  uint64_t link_count = 0;
  uint64_t size = 0;
  uint64_t allocated = 0;  // bytes that the file takes on the disk
  uint32_t mode = 0;       // permission bits, with set-user-id, set-group-id and sticky
  int64_t owner = -1;
  int64_t group = -1;
  uint64_t changed = 0;  // moves with every change, in the system's own unit
  // When the contents last changed, or StampModified() was called: nanoseconds since 1970 by the file system's clock.
  uint64_t modified = 0;
};

// One state of one file: equal only as long as nothing was changed, and no other file was put in its place. A number that
// the file system gives to a new file again does not make it the old one.
struct FileVersion {
  FileIdentity identity;
  uint64_t size = 0;
  uint64_t changed = 0;
  uint64_t modified =
      0;  // StampVersion() makes it tell files apart that were made in one tick of the system's clock

  bool operator==(const FileVersion& other) const {
    return identity == other.identity && size == other.size && changed == other.changed &&
           modified == other.modified;
  }
};

inline FileVersion VersionOf(const FileStatus& status) {
  return {status.identity, status.size, status.changed, status.modified};
}

// Looks `name` up in `directory` without following a link. An absent name is success with kAbsent.
Error InspectName(const Directory& directory, const std::string& name, FileStatus* status);

// The names in `directory` that begin with `prefix` and end with `suffix`.
Error FindNames(const Directory& directory, const std::string& prefix, const std::string& suffix,
                std::vector<std::string>* names);

// ---- Contents and attributes ----------------------------------------------------------------------

// Reads up to `size` bytes from `offset` on; fewer than that only at the end of the file.
Error ReadAt(NativeHandle file, uint64_t offset, char* buffer, size_t size, size_t* read);
// Writes all of `size` bytes, with one system call unless the system takes it in parts.
Error WriteAt(NativeHandle file, uint64_t offset, const char* buffer, size_t size);
// Writes at the end of a file that was opened with FileAccess::kAppend, wherever that is at this moment, with one system
// call unless the system takes it in parts. `*written` tells how much, also with an error.
Error Append(NativeHandle file, const char* buffer, size_t size, size_t* written);
Error Truncate(NativeHandle file, uint64_t size);
// Sets the permission bits to exactly `mode`. Windows has no such bits: what it makes of them is in docs/platforms.md.
Error SetMode(NativeHandle file, uint32_t mode);
// Returns true if setting the permission bits to `mode` would change nothing.
bool HasExactMode(const FileStatus& status, uint32_t mode);
Error InspectFile(NativeHandle file, FileStatus* status);
// Sets FileStatus::modified to now, or, should the file system's clock stand still or step back to `previous`, to a
// later time: a sign of life that changes no contents.
Error StampModified(NativeHandle file, uint64_t previous = 0);
// Sets FileStatus::modified to `modified`, or to the nearest time that the file system can keep.
Error SetModified(NativeHandle file, uint64_t modified);
// Sets FileStatus::modified of a file of ours to a time that no other version of it has, as far as this machine's clock can
// tell. To be called before the file is published.
Error StampVersion(NativeHandle file);

// ---- Temporary files ------------------------------------------------------------------------------

// What the random names of temporary files begin and end with.
constexpr char kTemporaryPrefix[] = ".holdfast-";
constexpr char kTemporarySuffix[] = ".tmp";

// A file that is written before it gets its name.
struct TemporaryFile {
  Handle file;
  std::string name;  // empty as long as it has none
  // What files are called that this one was to replace, and that somebody else has replaced before. They go when this one is
  // in place: until then they may be all that is left of the old contents.
  std::vector<std::string> superseded;
  // Whether a lock on it outlives its publishing by PublishNew(); else it is everybody's to lock from that moment on.
  bool stays_locked = false;
};

// Modes: of a file for the owner alone, and what of a mode says who may do what.
constexpr uint32_t kPrivateMode = 0600;
constexpr uint32_t kPermissions = 0777;

// Makes an empty file on the file system of `directory`, open for reading and writing, with `mode` less the umask. It
// has no name where the system knows such files, so that a kill leaves nothing. Elsewhere it has a random one of 32
// hexadecimal digits, and its kernel lock is held from before it has a byte of contents until it is published or closed:
// one whose lock is free belongs to nobody. A port that has made one with a name calls RemoveLeftovers() (leftovers.h).
Error CreateTemporary(const Directory& directory, uint32_t mode, TemporaryFile* temporary);

// Gives the file the name `name`, unless something has it: `*published` tells. The file is never seen under more than
// one name; an error of ENOTSUP says that this file system has no way to do that.
Error PublishNew(const Directory& directory, TemporaryFile* temporary, const std::string& name,
                 bool* published);

enum class ReplaceMethod : uint8_t {
  kRename,       // over the old name, at one instant
  kCopy,         // into the old file
  kReplaceFile,  // by ReplaceFileW(), which may be seen between its two steps
};

struct Publication {
  ReplaceMethod method = ReplaceMethod::kRename;
  // It failed half way, and the name leads nowhere: the old file and the new one are there under other names.
  bool target_lost = false;
};

struct PublishOptions {
  // What else hangs on the old file is to be the new one's, and no rename does that for the system.
  bool keep_streams = false;
  // Also in two steps, between which the name leads nowhere, if somebody has the old file open. Most let go of it soon.
  bool in_two_steps = false;
};

// Puts the file in the place of whatever file has the name `name`, if any, at one instant where the system can.
// Error::transient tells that another try may succeed.
Error PublishReplacing(const Directory& directory, TemporaryFile* temporary,
                       const std::string& name, const PublishOptions& options,
                       Publication* publication);

// Gives the file the name under which one file at a time waits to replace `name`: `*claimed` tells whether it was to be
// had. Whoever has it may compare what `name` leads to and publish, and nobody who does the same comes in between. Names
// are exclusive on every file system, also on one without locks. Publishing or discarding the file ends the claim; one that a
// dead process has left ends with the next try, where it can be told from a living one's, else after a minute.
Error ClaimWaitingName(const Directory& directory, TemporaryFile* temporary,
                       const std::string& name, bool* claimed);

// Removes the name of a file that was not published.
void DiscardTemporary(const Directory& directory, TemporaryFile* temporary);

// Creates `name` empty, with exactly `mode`, unless it exists: `*created` tells.
Error CreateEmpty(const Directory& directory, const std::string& name, uint32_t mode,
                  bool* created);

// ---- Replacing files ------------------------------------------------------------------------------

enum class Durability : uint8_t {
  kNone,
  kOrdered,  // the contents reach the disk before the name does: after a loss of power, old or new
  kFull,     // all of it is on the disk when the call returns
};

enum class FileAccess : uint8_t {
  kRead,
  kReadWrite,
  kAppend,  // for reading and Append()
};

// Opens an existing file without following a link and without waiting, as OpenLockFile() does, and with its refusals.
Error OpenFile(const Directory& directory, const std::string& name, FileAccess access,
               Handle* handle, FileStatus* status);

// Whether something is mounted over `name`, so that it cannot be renamed over.
bool IsMountPoint(const Directory& directory, const std::string& name);

// Sets room for `size` bytes aside, so that writing them does not fail for want of space. Neither contents nor size
// change. Success where the file system knows no such thing.
Error Reserve(NativeHandle file, uint64_t size);

// A file that is about to be replaced, and whose `status` was seen.
struct ReplacedFile {
  const Directory& directory;
  const std::string& name;
  const FileStatus& status;
};

// Gives the new file the permissions of the old one: `mode`, or, where files have access lists instead, that list.
Error KeepPermissions(const ReplacedFile& from, uint32_t mode, NativeHandle to);
// Gives the new file the owner and group of the old one.
Error KeepOwner(const ReplacedFile& from, NativeHandle to);

// Whom the owner's and the group's bits of a mode are about.
struct ModeSubjects {
  bool owner = false;
  bool group = false;
  bool given = false;  // the file was made for others, and given to these
};
// Gives the new file, of which `made` was seen, as much of the old one's owner and group as the caller may give, and returns
// what it has of them then. No system call if it has both.
ModeSubjects KeepSubjects(const ReplacedFile& from, const FileStatus& made, NativeHandle to);
// Whether nobody else, the superuser aside, may read or write the file.
bool IsPrivate(NativeHandle file, const FileStatus& status);
// Copies extended attributes other than access control lists; `*all` is false if some stay behind, as those of security
// modules do.
Error CopyAttributes(NativeHandle from, NativeHandle to, bool* all);
// Gives `to` the access control list of `from`. If `from` has none, removes the one that `to` has from its directory.
Error CopyAccessControlList(NativeHandle from, NativeHandle to);
Error RemoveAccessControlList(NativeHandle file);
// What a mode says of a file that loses its access control list.
struct ModeWithoutList {
  uint32_t entries = 0;  // the rights that the owner, the owning group and the others had
  uint32_t limited = 0;  // so much of them that nobody has more access than with the list
};
ModeWithoutList WithoutAccessControlList(const ReplacedFile& file, uint32_t mode);
// Whether files beside `path`, which is ours alone, can have what CopyAttributes() copies: gives it one and reads that back.
Error TryAttribute(const std::string& path);

// Not retried after a failure: the system may have dropped what it could not write (fsync(2)). With kNone it returns the
// error that closing the file would: file systems of other machines report a full disk then, and not before.
Error Flush(NativeHandle file, Durability durability);
// Success also on a file system that cannot flush a directory: `*flushed` is false then.
Error FlushDirectory(const Directory& directory, bool* flushed = nullptr);

// When the file was made, in the system's own unit, so that a file that got the number of a removed one is told from it; 0
// where the system does not tell.
uint64_t BirthTime(NativeHandle file);

// Gives the open file, which has the name `from` in `directory`, a second name there. EEXIST if something has it.
Error LinkFile(const Directory& directory, NativeHandle file, const std::string& from,
               const std::string& to);

// The absolute path of the directory, without links.
Error ResolvePath(const Directory& directory, std::string* path);

// Removes `name` if it still leads to the file with `identity`, or to that directory: ENOTEMPTY unless it is empty.
Error RemoveName(const Directory& directory, const std::string& name, const FileIdentity& identity);

// Makes the directory `name` with exactly `mode`, or with 0777 less the umask, which does not take away our own rights;
// and opens it, or the one that exists: `*created` tells.
Error MakeDirectory(const Directory& parent, const std::string& name, std::optional<uint32_t> mode,
                    Directory* directory, bool* created);
Error SetDirectoryMode(const Directory& directory, uint32_t mode);
// Opens the directory `name` for StampModified(), without following a link. `*handle` stays invalid when there is no such
// name; it keeps the directory's number from being given to another one after it was removed.
Error OpenForStamping(const Directory& parent, const std::string& name, Handle* handle,
                      FileStatus* status);
// Opens the directory `path`, relative to `root`, which no "..", link or mount on the way may lead out of.
Error OpenBeneath(const Directory& root, const std::string& path, Directory* directory);
bool IsOwnedByUs(const Directory& directory);
bool IsOwnedByUs(const FileStatus& status);

// ---- The lock file -------------------------------------------------------------------------------------------------

// Opens the existing lock file `name` for reading and writing, without following a link, without waiting for a FIFO's
// other end or a lease, and without changing it. `*handle` stays invalid when there is no such name. Refuses links
// (kLink) and what cannot be opened like a file (kNotRegular); a file that exists and may not be opened is kNoAccess. An
// error for which IsLeased() is true ends when another process gives up its lease, which the system has asked it to do.
// The caller checks `*status`, which describes the open handle.
Error OpenLockFile(const Directory& directory, const std::string& name, Handle* handle,
                   FileStatus* status);

inline bool IsLeased(const Error& error) { return error.number == EAGAIN; }

// Sets who may use `to`, a lock file or guard that was just made: those who may use the lock file `from` with `status`, as
// far as this process may decide that. Owner, group and access control list are kept if they can be set, and permission bits
// whose subject is kept. A file that stays ours gets at most `mode`. Nobody gets more than before, and no file a set-id bit.
Error KeepAccess(NativeHandle from, const FileStatus& status, uint32_t mode, NativeHandle to);

// Removes the name of a lock file that we have locked, so that others who have it open find that out (Enter() in
// lock.h) and make a new one. Where a name stays until nobody has the file open, the file is left as it is.
Error RemoveLockFile(const Directory& directory, const std::string& name,
                     const FileIdentity& identity);

// Whether a file of `owner` may be believed not to have been planted: by us, the superuser or `other`, who could do
// whatever the file would do.
bool IsTrustedOwner(int64_t owner, int64_t other);
// Returns true if the owner is known to be neither the caller nor the superuser.
bool IsOtherUser(int64_t owner);

enum class LockMode : uint8_t { kShared, kExclusive };

// Which of a lock file's locks is meant. Where a lock file can have several, they are told apart by number, and taking a
// lock over means to go on with the next number. Elsewhere there is one, the number is ignored, and a lock is taken over
// by putting another file in the place of its lock file.
using LockSlot = uint64_t;
extern const bool kLockFilesHaveSlots;
// The lock that is held around a check and what it permits (docs/protocol.md).
constexpr LockSlot kGuardSlot = ~LockSlot{0};

// Takes the kernel's lock if that needs no waiting. `*granted` tells.
Error TryLock(NativeHandle file, LockMode mode, bool* granted, LockSlot slot = 0);
// Gives the lock back, also where another process inherited the handle.
Error Unlock(NativeHandle file, LockSlot slot = 0);
// Takes an exclusive lock on the contents of a file that is not a lock file, until it is closed. Where locks are
// mandatory, nobody else reads or writes the file meanwhile.
Error TryLockContents(NativeHandle file, bool* granted);

// Processes of this machine that the kernel says hold a lock on the file with this identity. `complete` is false where
// the kernel cannot be asked, or would not name all of them (those in another pid namespace).
struct KernelHolders {
  std::vector<int64_t> pids;
  bool shared = false;
  bool complete = false;
};
KernelHolders FindKernelHolders(const FileIdentity& identity);

// Processes that hold the lock on the file without having taken it: they have inherited the handle of one that ended or
// closed it. `takers` are those that FindKernelHolders() names: while one of them may still hold the lock nobody is looked
// for, since that is a look at every process. Empty where the kernel does not tell, and for those that it does not show.
std::vector<int64_t> FindInheritors(const FileIdentity& identity,
                                    const std::vector<int64_t>& takers);

// ---- Waiting -------------------------------------------------------------------------------------------------------

enum class WaitResult : uint8_t {
  kGranted,
  kInterrupted,
  kFailed,
  kUnable,  // nothing could end the wait, so it was not begun: the caller tries on a timer
};

// One wait for the kernel to grant a lock. Run() blocks its thread; Interrupt() ends that from another.
class LockWait {
 public:
  virtual ~LockWait() = default;
  // Call once. kInterrupted only after Interrupt(); a grant may win over an interruption.
  virtual WaitResult Run(Error* error) = 0;
  // May come before Run() and any number of times. Where the system's means can miss a thread that is just about to
  // block, it has to be repeated until Run() returns.
  virtual void Interrupt() = 0;
};

// A wait that the kernel ends on `file`, or null where it cannot: the caller then tries on a timer. `file` must
// outlive the wait.
std::unique_ptr<LockWait> NewLockWait(NativeHandle file, LockMode mode, FileSystemClass kind,
                                      LockSlot slot = 0);

// ---- Threads -------------------------------------------------------------------------------------------------------

// A thread with a small stack that receives no signal but the one that interrupts a LockWait, and those that its own faults
// raise.
class Thread {
 public:
  Thread() = default;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  // A thread must have been joined or abandoned.
  ~Thread() = default;

  Error Start(std::function<void()> body);
  void Join();
  // Lets go of a thread that is stuck in the kernel. What it still touches must be its own.
  void Abandon();

 private:
  [[maybe_unused]] intptr_t handle_ = 0;  // a port without threads has no use for it
};

// std::condition_variable, whose names it has, with a timeout that no change of the wall clock shortens or lengthens. The
// C++ library's own goes by the wall clock where the C library has no pthread_cond_clockwait(): glibc before 2.30, musl,
// macOS.
class Condition {
 public:
  Condition();
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  ~Condition();

  void notify_all();

  template <typename Predicate>
  void wait(std::unique_lock<std::mutex>& lock, Predicate predicate) {
    while (!predicate()) WaitOnce(lock);
  }

  // What the predicate says in the end.
  template <typename Predicate>
  bool wait_for(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout,
                Predicate predicate) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!predicate()) {
      const std::chrono::nanoseconds left = deadline - std::chrono::steady_clock::now();
      if (left <= std::chrono::nanoseconds::zero()) return false;
      WaitOnce(lock, left);
    }
    return true;
  }

 private:
  struct Native;

  // Each may return early, for no reason.
  void WaitOnce(std::unique_lock<std::mutex>& lock);
  void WaitOnce(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds timeout);

  std::unique_ptr<Native> native_;
};

// ---- Process and host ----------------------------------------------------------------------------------------------

int64_t ProcessId();

// A text that no other process with this pid has, on this machine, since it was started; empty when the system does
// not tell. Printable, without spaces, at most 127 bytes.
std::string ProcessStartToken();

enum class Liveness : uint8_t { kAlive, kDead, kUnknown };

// Whether the process that was `pid` with `start_token` is still there. Never kDead for a process that this one cannot
// see (another machine or pid namespace).
Liveness InspectProcess(int64_t pid, const std::string& start_token);

// For a lock that is to last as long as a command and what it starts, on a system where no child process can inherit it;
// elsewhere both are ENOTSUP. From the call on, the kernel ends every process that this one starts, and all that those
// start, when this one ends, however it does.
Error BindDescendants();
// How many of them there are now.
Error CountDescendants(uint32_t* count);

// Fills `buffer`, of at most 256 bytes, from the system's random source.
Error RandomBytes(uint8_t* buffer, size_t size);

// Keeps this library in memory until the process ends: threads and a signal handler of ours may outlive an unload.
void PinLibrary();

}  // namespace holdfast

#endif  // HOLDFAST_PLATFORM_H_
