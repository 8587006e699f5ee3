// What is fed with bytes: each target judges for itself whether what comes of them is right, and ends the process if not.
#ifndef HOLDFAST_FUZZ_TARGETS_H_
#define HOLDFAST_FUZZ_TARGETS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace holdfast {

struct FuzzTarget {
  FuzzTarget(const char* name, void (*run)(const uint8_t* data, size_t size));

  const char* const name;
  void (*const run)(const uint8_t* data, size_t size);
  const FuzzTarget* next;
};

// Ends the process, and libFuzzer keeps the bytes.
void MustHold(bool condition, const char* what);

// In a directory of this process, on a file system in memory where there is one.
std::string FuzzPath(const std::string& name);
std::vector<char> Contents(const std::string& path);
void SetContents(const std::string& path, const void* data, size_t size);

}  // namespace holdfast

#define MUST_HOLD(condition) holdfast::MustHold(condition, #condition)

#endif  // HOLDFAST_FUZZ_TARGETS_H_
