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

bool FileSystems::Find(const Directory& directory, FileSystemClass* kind) const {
  std::lock_guard<std::mutex> guard(mutex_);
  const auto found = devices_.find(directory.identity.device);
  if (found == devices_.end()) return false;
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
  devices_[directory.identity.device] = file_system.kind;
  return {};
}

}  // namespace holdfast
