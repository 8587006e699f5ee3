#ifndef HOLDFAST_READ_FILE_H_
#define HOLDFAST_READ_FILE_H_

#include <string>
#include <vector>

#include "platform.h"

namespace holdfast {

struct ReadRequest {
  std::string path;  // absolute
  ParentPolicy parents = ParentPolicy::kTrust;
  std::string within;  // absolute, or empty: as for a replace
  bool trust_any_owner = false;
  uint64_t max_bytes = 0;
  std::string undo_directory;  // or empty
};

struct ReadOutcome {
  bool exists = false;
  std::vector<char> contents;
  FileVersion version;
};

// Reads a whole regular file, old or new but never half of a replace by holdfast: a copy that a crash cut short is made
// good first; transient EBUSY while one is under way. A file in a missing directory does not exist. EFBIG when it is longer than `max_bytes`.
Error ReadRegularFile(const ReadRequest& request, ReadOutcome* outcome);

}  // namespace holdfast

#endif  // HOLDFAST_READ_FILE_H_
