#ifndef HOLDFAST_ERROR_H_
#define HOLDFAST_ERROR_H_

#include <cstdint>
#include <string>

namespace holdfast {

// Why a lock file that could have been used was not. A refusal is final: it is never retried and never turned into a
// success by a policy for failures.
enum class Refusal : uint8_t {
  kNone,
  kLink,            // a symbolic link or reparse point
  kHardLink,        // more than one name leads to the file
  kNotRegular,      // a directory, FIFO, socket or device
  kForeignOwner,    // owned by somebody who could plant it
  kForeignContent,  // somebody's data, not a lock file
  kNoAccess,        // exists, and may not be opened
  kDirectory,       // a directory, where a file is to be replaced
  kOutside,         // leads out of the directory that it must stay in
  kDirectoryMode,   // in a directory with other permissions than were required
  kNoJournalPlace,  // could be written to, and its directory cannot: a journal has no place
};

// What an operating-system call or a check of ours answered. `number` is the platform's own error number (errno; on
// Windows the Win32 code); JavaScript gives it Node's name. A default-constructed Error is success.
struct Error {
  int number = 0;
  const char* syscall = "";
  std::string path;
  Refusal refusal = Refusal::kNone;
  // The file's owner, known for the refusals about ownership and access.
  int64_t owner = -1;

  bool ok() const { return number == 0; }

  static Error FromSystem(int number, const char* syscall, std::string path = {}) {
    return Error{number, syscall, std::move(path), Refusal::kNone, -1};
  }

  static Error Refused(Refusal refusal, int number, const char* syscall, std::string path = {},
                       int64_t owner = -1) {
    return Error{number, syscall, std::move(path), refusal, owner};
  }
};

}  // namespace holdfast

#endif  // HOLDFAST_ERROR_H_
