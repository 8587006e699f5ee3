#include "file_systems.h"

namespace holdfast {

namespace {

// A program that walks a large tree must not fill the memory with its directories. Forgetting costs each of them one
// more trip off the main thread.
constexpr size_t kMaxDirectories = 10000;

}  // namespace

bool FileSystems::FindTouched(const std::string& directory, FileSystemClass* kind) const {
  std::lock_guard<std::mutex> guard(mutex_);
  const auto found = touched_.find(directory);
  if (found == touched_.end()) return false;
  *kind = found->second;
  return true;
}

void FileSystems::MarkTouched(const std::string& directory, FileSystemClass kind) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (touched_.size() >= kMaxDirectories) touched_.clear();
  touched_[directory] = kind;
}

}  // namespace holdfast
