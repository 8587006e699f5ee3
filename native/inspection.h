#ifndef HOLDFAST_INSPECTION_H_
#define HOLDFAST_INSPECTION_H_

#include <string>
#include <vector>

#include "lock.h"

namespace holdfast {

// What can be told of a lock by somebody who does not hold it.
struct Inspection {
  std::string path;
  FileSystem file_system;
  // Whether somebody holds it; means nothing unless `known`.
  bool known = false;
  bool held = false;
  bool shared = false;
  // Those that the kernel names.
  std::vector<int64_t> pids;
  std::vector<int64_t> inheritors;
  DecodedRecord record;
  Liveness liveness = Liveness::kUnknown;  // of the holder in the record
};

// Creates and changes nothing. Where the kernel cannot be asked who holds a lock, a lock of our own is tried on a fresh
// handle and given back at once: a TryLock() elsewhere may find that one.
Error Inspect(const LockRequest& request, Inspection* inspection);

}  // namespace holdfast

#endif  // HOLDFAST_INSPECTION_H_
