// Who holds a flock, as /proc/locks tells (proc_locks(5)). Its lines look like
//   1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
//   1: -> FLOCK ...                               (a waiter)
// and name the process that took the lock; a child that inherited the descriptor does not show.
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "../posix/posix.h"

namespace holdfast {

namespace {

// In a pid namespace of its own a process is not shown the locks of those outside. The number is the kernel's constant
// for the first namespace (PROC_PID_INIT_INO).
bool SeesEveryProcess() {
  char space[64];
  const ssize_t length = readlink("/proc/self/ns/pid", space, sizeof(space));
  static constexpr char kFirst[] = "pid:[4026531836]";
  return length == sizeof(kFirst) - 1 && memcmp(space, kFirst, sizeof(kFirst) - 1) == 0;
}

struct CloseFile {
  void operator()(FILE* file) const { fclose(file); }
};

}  // namespace

KernelHolders FindKernelHolders(const FileIdentity& identity) {
  KernelHolders holders;
  std::unique_ptr<FILE, CloseFile> locks(fopen("/proc/locks", "re"));
  if (!locks) return holders;
  holders.complete = SeesEveryProcess();
  char line[256];
  while (fgets(line, sizeof(line), locks.get()) != nullptr) {
    char access[16];
    long long pid = 0;
    unsigned int device_major = 0;
    unsigned int device_minor = 0;
    uint64_t inode = 0;
    if (sscanf(line, "%*d: FLOCK %*s %15s %lld %x:%x:%" SCNu64, access, &pid, &device_major,
               &device_minor, &inode) != 5) {
      continue;
    }
    if (inode != identity.inode) continue;
    if (makedev(device_major, device_minor) != identity.device) {
      // Btrfs and some overlays show another device to stat(2) than here, so this may be our file.
      holders.complete = false;
      continue;
    }
    holders.pids.push_back(pid);
    holders.shared = strcmp(access, "READ") == 0;
  }
  return holders;
}

}  // namespace holdfast
