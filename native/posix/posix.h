// What the POSIX ports share among themselves. Nothing outside native/posix, native/linux and native/mac includes it.
#ifndef HOLDFAST_POSIX_POSIX_H_
#define HOLDFAST_POSIX_POSIX_H_

#include <pthread.h>

#include <cerrno>
#include <string>

#include "../platform.h"

struct stat;

namespace holdfast {

// The one place where EINTR is handled. close() is never called through it: on Linux the descriptor is gone also when
// close() says EINTR, and a second close() could hit somebody else's.
template <typename Call>
auto RetryOnInterrupt(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

inline int DescriptorOf(NativeHandle handle) { return static_cast<int>(handle); }
inline int DescriptorOf(const Directory& directory) { return DescriptorOf(directory.handle.get()); }

inline Error LastError(const char* syscall) { return Error::FromSystem(errno, syscall); }

FileStatus FileStatusOf(const struct stat& status);

// Gives `file` to the owner and group in `owned`.
Error SetOwner(NativeHandle file, const FileStatus& owned);

// Completes `directory` from its open handle.
Error DescribeDirectory(Handle handle, Directory* directory);

// A handle to list or flush the directory by: its own is for searching only.
Error OpenForReading(const Directory& directory, Handle* handle);

// Opens each component of `path` in turn, from `start` on, refusing links and, if it must stay beneath, "..": for
// systems that have no flag for it.
enum class WalkPolicy : uint8_t { kAnywhere, kBeneath };
Error WalkToDirectory(Handle start, const std::string& path, WalkPolicy policy, Handle* result);
Error OpenChildDirectory(int parent, const std::string& name, bool follow_links,
                         Directory* directory);

// Defined by each system:

// As fstat(), of a directory; the mode, the owner and the identity are all that is filled in.
Error InspectDirectory(int directory, struct stat* status, bool* append_only);

// How directories are opened: with the right to search them, not the right to list them.
extern const int kSearch;
// Permissions that no directory has but one that was just made, and with which its maker can open it by kSearch.
extern const uint32_t kModeOfNewDirectory;
// What stat(2) says of an owner that has no number in this user namespace; -1 where there are none.
int64_t UnmappedOwner();

// A file without a name in `directory`, or -1 with errno EOPNOTSUPP where there is no such thing.
int OpenUnnamedFile(int directory, uint32_t mode);
// Gives an unnamed file its name; 0, or -1 with errno (EEXIST: the name is taken).
int LinkUnnamedFile(int file, int directory, const char* name);
// Sets the mode of a directory that may not be readable to us, by a descriptor that was opened for searching only.
Error SetModeOfPath(int directory, uint32_t mode);
// fsync() or what the system has in its place.
int FlushFile(int file, Durability durability);
int PreallocateFile(int file, uint64_t size);
// A condition for WaitRelatively(), which goes by a clock that nobody sets.
void InitializeCondition(pthread_cond_t* condition);
void WaitRelatively(pthread_cond_t* condition, pthread_mutex_t* mutex,
                    std::chrono::nanoseconds timeout);
// Renames unless `to` exists; 0, or -1 with errno (EINVAL, ENOSYS or ENOTSUP: this file system cannot).
int RenameWithoutReplacing(int directory, const char* from, const char* to);

}  // namespace holdfast

#endif  // HOLDFAST_POSIX_POSIX_H_
