#include <libproc.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include <cstdio>

#include "../posix/posix.h"

namespace holdfast {

namespace {

std::string StartTime(pid_t pid, bool* exited) {
  struct proc_bsdinfo info;
  *exited = false;
  // With 1 a process that has ended, and was not waited for yet, is told of as well.
  const int size = proc_pidinfo(pid, PROC_PIDTBSDINFO, 1, &info, sizeof(info));
  if (size != static_cast<int>(sizeof(info))) return {};
  *exited = info.pbi_status == SZOMB;
  char text[64];
  snprintf(text, sizeof(text), "%llu.%06llu", static_cast<unsigned long long>(info.pbi_start_tvsec),
           static_cast<unsigned long long>(info.pbi_start_tvusec));
  return text;
}

// Changes with every start of the system, so that a pid of an earlier one is not taken for one of this.
std::string BootSession() {
  char uuid[64];
  size_t size = sizeof(uuid);
  if (sysctlbyname("kern.bootsessionuuid", uuid, &size, nullptr, 0) != 0 || size == 0) return {};
  return std::string(uuid, size - 1);
}

}  // namespace

std::string ProcessStartToken() {
  bool exited = false;
  const std::string boot = BootSession();
  const std::string start = StartTime(getpid(), &exited);
  return boot.empty() || start.empty() ? std::string() : boot + ":" + start;
}

Liveness InspectProcess(int64_t pid, const std::string& start_token) {
  const std::string prefix = BootSession() + ":";
  if (prefix.size() < 2 || start_token.compare(0, prefix.size(), prefix) != 0) {
    return Liveness::kUnknown;
  }
  bool exited = false;
  const std::string start = StartTime(static_cast<pid_t>(pid), &exited);
  if (!start.empty()) {
    const bool same = start == start_token.substr(prefix.size());
    return same && !exited ? Liveness::kAlive : Liveness::kDead;
  }
  // Another user's process does not show its start.
  if (kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM) return Liveness::kAlive;
  return errno == ESRCH ? Liveness::kDead : Liveness::kUnknown;
}

int64_t UnmappedOwner() { return -1; }

Error RandomBytes(uint8_t* buffer, size_t size) {
  if (getentropy(buffer, size) != 0) return LastError("getentropy");
  return {};
}

}  // namespace holdfast
