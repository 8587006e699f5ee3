#include "win.h"
// after windows.h
#include <bcrypt.h>

#include "../checksum.h"

namespace holdfast {

namespace {

// "<machine>:<name>": a container has the machine's id, but a name of its own, and its process ids are its own.
std::string PidSpace() {
  char machine[64] = {};
  DWORD size = sizeof(machine);
  // The 64-bit view, also for a process of 32 bits.
  if (RegGetValueA(HKEY_LOCAL_MACHINE, "SOFTWARE\\Microsoft\\Cryptography", "MachineGuid",
                   RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY, nullptr, machine,
                   &size) != ERROR_SUCCESS) {
    return {};
  }
  wchar_t name[256] = {};
  DWORD length = 256;
  if (!GetComputerNameExW(ComputerNameDnsHostname, name, &length)) return {};
  const uint32_t sum = Crc32(reinterpret_cast<const char*>(name), length * sizeof(wchar_t));
  return std::string(machine) + ':' + std::to_string(sum);
}

bool StartTime(HANDLE process, std::string* time) {
  FILETIME created;
  FILETIME ended;
  FILETIME kernel;
  FILETIME user;
  if (!GetProcessTimes(process, &created, &ended, &kernel, &user)) return false;
  const uint64_t ticks =
      (static_cast<uint64_t>(created.dwHighDateTime) << 32) | created.dwLowDateTime;
  *time = std::to_string(ticks);
  return true;
}

}  // namespace

int64_t ProcessId() { return GetCurrentProcessId(); }

std::string ProcessStartToken() {
  const std::string space = PidSpace();
  std::string time;
  if (space.empty() || !StartTime(GetCurrentProcess(), &time)) return {};
  return space + ':' + time;
}

Liveness InspectProcess(int64_t pid, const std::string& start_token) {
  const std::string prefix = PidSpace() + ':';
  if (prefix.size() < 2 || start_token.compare(0, prefix.size(), prefix) != 0) {
    return Liveness::kUnknown;
  }
  HANDLE opened =
      OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, static_cast<DWORD>(pid));
  if (opened == nullptr) {
    // Not every process lets itself be asked.
    if (GetLastError() == ERROR_ACCESS_DENIED) return Liveness::kAlive;
    return GetLastError() == ERROR_INVALID_PARAMETER ? Liveness::kDead : Liveness::kUnknown;
  }
  const Handle process = Owned(opened);
  // One that has ended is there for as long as anybody has a handle of it.
  if (WaitForSingleObject(opened, 0) == WAIT_OBJECT_0) return Liveness::kDead;
  std::string time;
  if (!StartTime(opened, &time)) return Liveness::kUnknown;
  return time == start_token.substr(prefix.size()) ? Liveness::kAlive : Liveness::kDead;
}

Error RandomBytes(uint8_t* buffer, size_t size) {
  const NTSTATUS status =
      BCryptGenRandom(nullptr, buffer, static_cast<ULONG>(size), BCRYPT_USE_SYSTEM_PREFERRED_RNG);
  return status < 0 ? FromStatus(status, "BCryptGenRandom") : Error{};
}

void PinLibrary() {
  HMODULE library = nullptr;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<LPCWSTR>(reinterpret_cast<void*>(&PinLibrary)), &library);
}

}  // namespace holdfast
