#ifndef HOLDFAST_ERROR_H_
#define HOLDFAST_ERROR_H_

#include <cerrno>
#include <cstdint>
#include <string>

// Windows numbers these among the errors of sockets; Node gives them the same names there.
#ifndef ESTALE
#define ESTALE 10070
#endif
#ifndef EDQUOT
#define EDQUOT 10069
#endif

namespace holdfast {

// Why a lock file that could have been used was not. A refusal is final: it is never retried and never turned into a
// success by a policy for failures.
enum class Refusal : uint8_t {
  kNone,
  kLink,              // a symbolic link or reparse point
  kHardLink,          // more than one name leads to the file
  kNotRegular,        // a directory, FIFO, socket or device
  kForeignOwner,      // owned by somebody who could plant it
  kForeignContent,    // somebody's data, not a lock file
  kNoAccess,          // exists, and may not be opened
  kDirectory,         // a directory, where a file is to be replaced
  kOutside,           // leads out of the directory that it must stay in
  kDirectoryMode,     // in a directory with other permissions than were required
  kNoUndoPlace,       // could be written to, and its directory cannot: an undo file has no place
  kForeignUndoFile,   // waits for an undo file that another user made
  kObstacle,          // has something that is not our file under one of our names
  kChangedSinceCopy,  // was changed after a copy into it was cut short
  kReplacedOutside,   // mounted, and another file has its name where it comes from
};

// What an operating-system call or a check of ours answered. `number` is an errno, to which JavaScript gives Node's name;
// a port whose system numbers its errors otherwise has a table. A default-constructed Error is success.
struct Error {
  int number = 0;
  const char* syscall = "";
  std::string path;
  Refusal refusal = Refusal::kNone;
  // The file's owner, known for the refusals about ownership and access.
  int64_t owner = -1;
  // The system's own number, where that is not errno: a Win32 code.
  uint32_t system_code = 0;
  // Passes by itself: somebody has the file open at this moment in a way that excludes us.
  bool transient = false;

  bool ok() const { return number == 0; }

  static Error FromSystem(int number, const char* syscall, std::string path = {}) {
    Error error;
    error.number = number;
    error.syscall = syscall;
    error.path = std::move(path);
    return error;
  }

  static Error Refused(Refusal refusal, int number, const char* syscall, std::string path = {},
                       int64_t owner = -1) {
    Error error = FromSystem(number, syscall, std::move(path));
    error.refusal = refusal;
    error.owner = owner;
    return error;
  }
};

}  // namespace holdfast

#endif  // HOLDFAST_ERROR_H_
