// The target is the one that HOLDFAST_FUZZ_TARGET names; "list" prints them all.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "targets.h"

namespace holdfast {

namespace {

const FuzzTarget* first_target = nullptr;
const FuzzTarget* chosen_target = nullptr;

std::string MakeDirectory() {
  std::string path = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  path += "/holdfast-fuzz-XXXXXX";
  MustHold(mkdtemp(path.data()) != nullptr, "mkdtemp");
  return path;
}

}  // namespace

FuzzTarget::FuzzTarget(const char* target_name, void (*function)(const uint8_t*, size_t))
    : name(target_name), run(function), next(first_target) {
  first_target = this;
}

void MustHold(bool condition, const char* what) {
  if (condition) return;
  static_cast<void>(std::fprintf(stderr, "does not hold: %s\n", what));
  std::abort();
}

std::string FuzzPath(const std::string& name) {
  static const std::string directory = MakeDirectory();
  return name.empty() ? directory : directory + '/' + name;
}

std::vector<char> Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void SetContents(const std::string& path, const void* data, size_t size) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
}

void ChooseTarget() {
  const char* wanted = std::getenv("HOLDFAST_FUZZ_TARGET");
  for (const FuzzTarget* target = first_target; target != nullptr; target = target->next) {
    if (wanted == nullptr || std::strcmp(wanted, "list") == 0) {
      static_cast<void>(std::printf("%s\n", target->name));
    } else if (std::strcmp(wanted, target->name) == 0) {
      chosen_target = target;
    }
  }
  if (chosen_target == nullptr) std::exit(wanted == nullptr ? 2 : 0);
}

void RunChosen(const uint8_t* data, size_t size) { chosen_target->run(data, size); }

}  // namespace holdfast

// libFuzzer's names.
extern "C" __attribute__((visibility("default"))) int LLVMFuzzerInitialize(int*, char***) {
  holdfast::ChooseTarget();
  return 0;
}

extern "C" __attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t* data,
                                                                             size_t size) {
  holdfast::RunChosen(data, size);
  return 0;
}
