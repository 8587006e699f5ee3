#ifndef HOLDFAST_FILE_SYSTEMS_H_
#define HOLDFAST_FILE_SYSTEMS_H_

#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "platform.h"

namespace holdfast {

// Remembers, per device, what kind of file system it is, and which directories were touched before: the first touch
// may mount something or wait for another machine. Safe from any thread.
class FileSystems {
 public:
  bool HasSeen(const std::string& directory) const;
  void MarkSeen(const std::string& directory);

  // False when the device is new.
  bool Find(const Directory& directory, FileSystemClass* kind) const;
  // Asks the system where the device is new.
  Error Classify(const Directory& directory, FileSystemClass* kind);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, FileSystemClass> kinds_;
  std::unordered_set<std::string> seen_;
};

}  // namespace holdfast

#endif  // HOLDFAST_FILE_SYSTEMS_H_
