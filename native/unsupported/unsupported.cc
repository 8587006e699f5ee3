// The smallest port: it compiles everywhere and says so at every door. A new system starts from a copy of it.
#include <cerrno>
#include <condition_variable>

#include "../platform.h"

namespace holdfast {

namespace {

Error Unsupported() { return Error::FromSystem(ENOTSUP, "holdfast"); }

}  // namespace

const char kPathSeparators[] = "/";
size_t RootLength(const std::string&) { return 1; }
std::string CanonicalName(const std::string& name) { return name; }

void CloseNativeHandle(NativeHandle) {}

Error OpenDirectory(const std::string&, ParentPolicy, Directory*) { return Unsupported(); }
Error InspectFileSystem(const Directory&, FileSystem*) { return Unsupported(); }
Error InspectName(const Directory&, const std::string&, FileStatus*) { return Unsupported(); }
Error FindNames(const Directory&, const std::string&, const std::string&,
                std::vector<std::string>*) {
  return Unsupported();
}

Error ReadAt(NativeHandle, uint64_t, char*, size_t, size_t*) { return Unsupported(); }
Error WriteAt(NativeHandle, uint64_t, const char*, size_t) { return Unsupported(); }
Error Append(NativeHandle, const char*, size_t, size_t*) { return Unsupported(); }
Error Truncate(NativeHandle, uint64_t) { return Unsupported(); }
Error SetMode(NativeHandle, uint32_t) { return Unsupported(); }
bool HasExactMode(const FileStatus&, uint32_t) { return false; }
Error SetModified(NativeHandle, uint64_t) { return Unsupported(); }
Error InspectFile(NativeHandle, FileStatus*) { return Unsupported(); }
Error StampModified(NativeHandle, uint64_t) { return Unsupported(); }
Error StampVersion(NativeHandle) { return Unsupported(); }

Error CreateTemporary(const Directory&, uint32_t, TemporaryFile*) { return Unsupported(); }
Error PublishNew(const Directory&, TemporaryFile*, const std::string&, bool*) {
  return Unsupported();
}
Error PublishReplacing(const Directory&, TemporaryFile*, const std::string&, const PublishOptions&,
                       Publication*) {
  return Unsupported();
}
Error ClaimWaitingName(const Directory&, TemporaryFile*, const std::string&, bool*) {
  return Unsupported();
}
void DiscardTemporary(const Directory&, TemporaryFile*) {}
Error CreateEmpty(const Directory&, const std::string&, uint32_t, bool*) { return Unsupported(); }

Error OpenFile(const Directory&, const std::string&, FileAccess, Handle*, FileStatus*) {
  return Unsupported();
}
bool IsMountPoint(const Directory&, const std::string&) { return false; }
Error Reserve(NativeHandle, uint64_t) { return Unsupported(); }
Error KeepAccess(NativeHandle, const FileStatus&, uint32_t, NativeHandle) { return Unsupported(); }
Error KeepPermissions(const ReplacedFile&, uint32_t, NativeHandle) { return Unsupported(); }
ModeSubjects KeepSubjects(const ReplacedFile&, const FileStatus&, NativeHandle) { return {}; }
ModeWithoutList WithoutAccessControlList(const ReplacedFile&, uint32_t) { return {}; }
Error RemoveAccessControlList(NativeHandle) { return Unsupported(); }
Error KeepOwner(const ReplacedFile&, NativeHandle) { return Unsupported(); }
bool IsPrivate(NativeHandle, const FileStatus&) { return false; }
Error CopyAttributes(NativeHandle, NativeHandle, bool*) { return Unsupported(); }
Error CopyAccessControlList(NativeHandle, NativeHandle) { return Unsupported(); }
Error TryAttribute(const std::string&) { return Unsupported(); }
Error Flush(NativeHandle, Durability) { return Unsupported(); }
Error FlushDirectory(const Directory&, bool*) { return Unsupported(); }
Error LinkFile(const Directory&, NativeHandle, const std::string&, const std::string&) {
  return Unsupported();
}
Error ResolvePath(const Directory&, std::string*) { return Unsupported(); }
uint64_t BirthTime(NativeHandle) { return 0; }
Error RemoveName(const Directory&, const std::string&, const FileIdentity&) {
  return Unsupported();
}
Error MakeDirectory(const Directory&, const std::string&, std::optional<uint32_t>, Directory*,
                    bool*) {
  return Unsupported();
}
Error OpenForStamping(const Directory&, const std::string&, Handle*, FileStatus*) {
  return Unsupported();
}
Error SetDirectoryMode(const Directory&, uint32_t) { return Unsupported(); }
Error OpenBeneath(const Directory&, const std::string&, Directory*) { return Unsupported(); }
bool IsOwnedByUs(const Directory&) { return false; }
bool IsOwnedByUs(const FileStatus&) { return false; }

Error OpenLockFile(const Directory&, const std::string&, Handle*, FileStatus*) {
  return Unsupported();
}
Error RemoveLockFile(const Directory&, const std::string&, const FileIdentity&) {
  return Unsupported();
}
bool IsTrustedOwner(int64_t, int64_t) { return false; }
bool IsOtherUser(int64_t) { return false; }

const bool kLockFilesHaveSlots = false;
Error TryLock(NativeHandle, LockMode, bool*, LockSlot) { return Unsupported(); }
Error Unlock(NativeHandle, LockSlot) { return Unsupported(); }
Error TryLockContents(NativeHandle, bool*) { return Unsupported(); }
KernelHolders FindKernelHolders(const FileIdentity&) { return {}; }
std::vector<int64_t> FindInheritors(const FileIdentity&, const std::vector<int64_t>&) { return {}; }

std::unique_ptr<LockWait> NewLockWait(NativeHandle, LockMode, FileSystemClass, LockSlot) {
  return nullptr;
}

Error Thread::Start(std::function<void()>) { return Unsupported(); }
void Thread::Join() {}
void Thread::Abandon() {}

// Not by the wall clock, in a real port: see platform.h.
struct Condition::Native {
  std::condition_variable condition;
};
Condition::Condition() : native_(std::make_unique<Native>()) {}
Condition::~Condition() = default;
void Condition::notify_all() { native_->condition.notify_all(); }
void Condition::WaitOnce(std::unique_lock<std::mutex>& lock) { native_->condition.wait(lock); }
void Condition::WaitOnce(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds timeout) {
  native_->condition.wait_for(lock, timeout);
}

int64_t ProcessId() { return 0; }
std::string ProcessStartToken() { return {}; }
Liveness InspectProcess(int64_t, const std::string&) { return Liveness::kUnknown; }
Error BindDescendants() { return Unsupported(); }
Error CountDescendants(uint32_t*) { return Unsupported(); }
Error RandomBytes(uint8_t*, size_t) { return Unsupported(); }
void PinLibrary() {}

}  // namespace holdfast
