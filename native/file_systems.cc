#include "file_systems.h"

namespace holdfast {

namespace {

// A program that walks a large tree must not fill the memory with its directories. Forgetting costs each of them one
// more trip off the main thread.
constexpr size_t kMaxDirectories = 10000;

}  // namespace

bool FileSystems::HasSeen(const std::string& directory) const {
  std::lock_guard<std::mutex> guard(mutex_);
  return seen_.count(directory) != 0;
}

void FileSystems::MarkSeen(const std::string& directory) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (seen_.size() >= kMaxDirectories) seen_.clear();
  seen_.insert(directory);
}

bool FileSystems::Find(const Directory& directory, FileSystemClass* kind) const {
  std::lock_guard<std::mutex> guard(mutex_);
  const auto found = kinds_.find(directory.identity.device);
  if (found == kinds_.end()) return false;
  *kind = found->second;
  return true;
}

Error FileSystems::Classify(const Directory& directory, FileSystemClass* kind) {
  if (Find(directory, kind)) return {};
  FileSystem file_system;
  Error error = InspectFileSystem(directory, &file_system);
  if (!error.ok()) return error;
  *kind = file_system.kind;
  std::lock_guard<std::mutex> guard(mutex_);
  kinds_[directory.identity.device] = file_system.kind;
  return {};
}

}  // namespace holdfast
