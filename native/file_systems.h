#ifndef HOLDFAST_FILE_SYSTEMS_H_
#define HOLDFAST_FILE_SYSTEMS_H_

#include <mutex>
#include <string>
#include <unordered_map>

#include "platform.h"

namespace holdfast {

// Remembers which directories were touched before, and what kind of file system they were on: the first touch may mount
// something or wait for another machine. Device numbers are no key for that, since systems use them again. Safe from any
// thread.
class FileSystems {
 public:
  // The kind found at the last touch of the directory, as it is spelled. False before the first.
  bool FindTouched(const std::string& directory, FileSystemClass* kind) const;
  void MarkTouched(const std::string& directory, FileSystemClass kind);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, FileSystemClass> touched_;
};

}  // namespace holdfast

#endif  // HOLDFAST_FILE_SYSTEMS_H_
