#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "../posix/posix.h"

namespace holdfast {

namespace {

std::string ReadSmallFile(const std::string& path) {
  Handle file(RetryOnInterrupt([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!file.valid()) return {};
  char buffer[1024];
  const ssize_t count =
      RetryOnInterrupt([&] { return read(DescriptorOf(file.get()), buffer, sizeof(buffer)); });
  return count > 0 ? std::string(buffer, static_cast<size_t>(count)) : std::string();
}

// What /proc/<pid>/stat says, proc_pid_stat(5): the state and the time of the start in clock ticks since the boot.
struct ProcessStatus {
  char state = 0;
  std::string start_time;
};

bool ReadProcessStatus(const std::string& pid, ProcessStatus* status) {
  const std::string text = ReadSmallFile("/proc/" + pid + "/stat");
  // The second field is the program's name in parentheses, which may hold anything: count from the last ')'.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return false;
  size_t begin = name_end + 2;
  status->state = text[begin];
  constexpr int kFirstField = 3;
  constexpr int kStartTimeField = 22;
  for (int field = kFirstField; field < kStartTimeField; field++) {
    begin = text.find(' ', begin);
    if (begin == std::string::npos) return false;
    begin++;
  }
  const size_t end = text.find(' ', begin);
  if (end == std::string::npos) return false;
  status->start_time = text.substr(begin, end - begin);
  return true;
}

std::string ReadLinkText(const char* path) {
  char text[64];
  const ssize_t length = readlink(path, text, sizeof(text));
  return length > 0 ? std::string(text, static_cast<size_t>(length)) : std::string();
}

// "pid:[4026531836]" gives "4026531836".
std::string NamespaceNumber(const char* path) {
  std::string number;
  for (const char character : ReadLinkText(path)) {
    if (character >= '0' && character <= '9') number.push_back(character);
  }
  return number;
}

// "<boot>:<pid namespace>:<time namespace>": within one value a pid means one process at a time, and times of start can be
// compared. Empty when /proc does not tell, or tells of another pid namespace than ours.
std::string PidSpace() {
  if (ReadLinkText("/proc/self") != std::to_string(getpid())) return {};
  std::string boot = ReadSmallFile("/proc/sys/kernel/random/boot_id");
  boot.resize(std::min(boot.find('\n'), boot.size()));
  const std::string space = NamespaceNumber("/proc/self/ns/pid");
  if (boot.empty() || space.empty()) return {};
  return boot + ':' + space + ':' + NamespaceNumber("/proc/self/ns/time");
}

}  // namespace

std::string ProcessStartToken() {
  const std::string pid_space = PidSpace();
  ProcessStatus status;
  if (pid_space.empty() || !ReadProcessStatus("self", &status)) return {};
  return pid_space + ":" + status.start_time;
}

Liveness InspectProcess(int64_t pid, const std::string& start_token) {
  const std::string prefix = PidSpace() + ":";
  if (prefix.size() < 2 || start_token.compare(0, prefix.size(), prefix) != 0) {
    return Liveness::kUnknown;
  }
  ProcessStatus status;
  if (ReadProcessStatus(std::to_string(pid), &status)) {
    // A zombie has closed its files already.
    if (status.state == 'Z' || status.state == 'X') return Liveness::kDead;
    return status.start_time == start_token.substr(prefix.size()) ? Liveness::kAlive
                                                                  : Liveness::kDead;
  }
  // /proc may be mounted so that other users' processes do not show (hidepid); EPERM says that there is one.
  if (kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM) return Liveness::kAlive;
  return errno == ESRCH ? Liveness::kDead : Liveness::kUnknown;
}

int64_t UnmappedOwner() {
  static const int64_t kOwner = [] {
    // Where every number is mapped, as outside of user namespaces, that one is somebody's like any other.
    constexpr unsigned long kAllNumbers = 4294967295;
    const std::string map = ReadSmallFile("/proc/self/uid_map");
    unsigned long count = 0;
    if (sscanf(map.c_str(), "%*u %*u %lu", &count) == 1 && count == kAllNumbers) return int64_t{-1};
    const std::string text = ReadSmallFile("/proc/sys/kernel/overflowuid");
    return text.empty() ? int64_t{65534} : static_cast<int64_t>(strtoll(text.c_str(), nullptr, 10));
  }();
  return kOwner;
}

Error RandomBytes(uint8_t* buffer, size_t size) {
  // The system call itself: glibc has its wrapper only from 2.25 on. Up to 256 bytes come in one piece (getrandom(2)).
  if (RetryOnInterrupt([&] { return syscall(SYS_getrandom, buffer, size, 0); }) !=
      static_cast<long>(size)) {
    return LastError("getrandom");
  }
  return {};
}

}  // namespace holdfast
