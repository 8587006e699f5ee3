// Reading and writing a part of a file that exists: an append-only log, whose writers agree by a lock on where it ends.
#ifndef HOLDFAST_FILE_RANGE_H_
#define HOLDFAST_FILE_RANGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "platform.h"

namespace holdfast {

struct FileRange {
  std::string path;  // absolute
  ParentPolicy parents = ParentPolicy::kTrust;
  uint64_t offset = 0;
  // Also of a file that CheckOwner() refuses.
  bool trust_any_owner = false;
};

struct TailRequest {
  FileRange range;
  Durability durability = Durability::kOrdered;
};

// Makes `size` bytes the end of the file, from the offset on: what was behind it is gone. Refuses what OpenForWriting()
// refuses, on the descriptor that is written to. Nothing is written when there is no such
// file, or when it ends before the offset: `*exists` and `*file_size` (as it was) tell. A failure cuts the file off at the
// offset again, as far as that can be done.
Error WriteTail(const TailRequest& request, const char* data, size_t size, bool* exists,
                uint64_t* file_size);

// Reads `size` bytes; fewer only at the end of the file. Refuses links, what is not regular, and foreign files.
Error ReadRange(const FileRange& range, size_t size, bool* exists, std::vector<char>* contents);

}  // namespace holdfast

#endif  // HOLDFAST_FILE_RANGE_H_
