// Who holds a flock, as /proc/locks tells (proc_locks(5)). Its lines look like
//   1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
//   1: -> FLOCK ...                               (a waiter)
// and name the process that took the lock, also when that has ended and a child that inherited the descriptor holds it. The
// same line stands in /proc/<pid>/fdinfo/<descriptor> of every descriptor that has the lock (proc_pid_fdinfo(5)).
#include <dirent.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

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

struct CloseListing {
  void operator()(DIR* listing) const { closedir(listing); }
};

// Calls `visit` with each name in the directory `path` that is a number, until it returns false. False: `path` cannot be listed.
template <typename Visit>
bool ForEachNumber(const std::string& path, Visit visit) {
  const std::unique_ptr<DIR, CloseListing> listing(opendir(path.c_str()));
  if (!listing) return false;
  for (;;) {
    // Each listing has a state of its own.
    const struct dirent* entry = readdir(listing.get());  // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr) return true;
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    if (!visit(std::string(entry->d_name))) return true;
  }
}

// The process that took the flock that a descriptor has, 0 for one that is not shown; -1: it has none.
int64_t TakerOf(const std::string& descriptor_info) {
  const std::unique_ptr<FILE, CloseFile> info(fopen(descriptor_info.c_str(), "re"));
  char line[256];
  while (info && fgets(line, sizeof(line), info.get()) != nullptr) {
    long long taker = 0;
    if (sscanf(line, "lock: %*d: FLOCK %*s %*s %lld", &taker) == 1) return taker;
  }
  return -1;
}

enum class Possession : uint8_t { kNone, kTaken, kInherited, kUnknown };

// How a process has the lock on a file, by any of its descriptors.
Possession InspectPossession(const std::string& pid, const FileIdentity& identity) {
  const std::string process = "/proc/" + pid;
  Possession possession = Possession::kNone;
  const auto look = [&](const std::string& descriptor) {
    // Following what looks like a link leads to the open file, whatever its name is now. It may be anybody's file, also
    // one on a server that does not answer, so nothing is asked for that the kernel does not know by itself.
    struct statx status;
    if (syscall(SYS_statx, AT_FDCWD, (process + "/fd/" + descriptor).c_str(),
                AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &status) != 0) {
      return true;
    }
    if (status.stx_ino != identity.inode ||
        makedev(status.stx_dev_major, status.stx_dev_minor) != identity.device) {
      return true;
    }
    const int64_t taker = TakerOf(process + "/fdinfo/" + descriptor);
    if (taker < 0) return true;
    possession = std::to_string(taker) == pid ? Possession::kTaken : Possession::kInherited;
    return possession != Possession::kTaken;
  };
  // Those of other users may not be listed.
  if (!ForEachNumber(process + "/fd", look) && errno == EACCES) return Possession::kUnknown;
  return possession;
}

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

std::vector<int64_t> FindInheritors(const FileIdentity& identity,
                                    const std::vector<int64_t>& takers) {
  for (const int64_t taker : takers) {
    switch (InspectPossession(std::to_string(taker), identity)) {
      case Possession::kTaken:
      case Possession::kUnknown:
        return {};
      case Possession::kNone:
      case Possession::kInherited:
        break;
    }
  }
  std::vector<int64_t> inheritors;
  ForEachNumber("/proc", [&](const std::string& pid) {
    if (InspectPossession(pid, identity) == Possession::kInherited) {
      inheritors.push_back(strtoll(pid.c_str(), nullptr, 10));
    }
    return true;
  });
  return inheritors;
}

}  // namespace holdfast
