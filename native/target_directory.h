#ifndef HOLDFAST_TARGET_DIRECTORY_H_
#define HOLDFAST_TARGET_DIRECTORY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "platform.h"

namespace holdfast {

// What the directory of a file has to be like, and how it is come by.
struct TargetDirectoryRequest {
  std::string within;  // absolute, or empty: the directory that must not be led out of
  ParentPolicy parents = ParentPolicy::kTrust;
  bool make = false;             // with all that are missing above it
  bool flush_made = false;       // each that was made, in the one above it
  std::optional<uint32_t> mode;  // of those that are made
  std::optional<uint32_t> required_mode;
  std::optional<uint32_t> tightened_mode;  // set if it is ours and has another one
};

// Opens the directory with the absolute path `directory`.
Error OpenTargetDirectory(const TargetDirectoryRequest& request, const std::string& directory,
                          Directory* opened);

}  // namespace holdfast

#endif  // HOLDFAST_TARGET_DIRECTORY_H_
