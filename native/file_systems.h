#ifndef HOLDFAST_FILE_SYSTEMS_H_
#define HOLDFAST_FILE_SYSTEMS_H_

#include <mutex>
#include <string>
#include <unordered_map>

#include "platform.h"

namespace holdfast {

// Remembers what kind of file system a device has, and which directories were touched before: the first touch may mount
// something or wait for another machine. Safe from any thread.
class FileSystems {
 public:
  // The kind found at the last touch of the directory, as it is spelled. False before the first.
  bool FindTouched(const std::string& directory, FileSystemClass* kind) const;
  void MarkTouched(const std::string& directory, FileSystemClass kind);

  // False when the device is new.
  bool Find(const Directory& directory, FileSystemClass* kind) const;
  // Asks the system where the device is new.
  Error Classify(const Directory& directory, FileSystemClass* kind);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, FileSystemClass> devices_;
  std::unordered_map<std::string, FileSystemClass> touched_;
};

}  // namespace holdfast

#endif  // HOLDFAST_FILE_SYSTEMS_H_
