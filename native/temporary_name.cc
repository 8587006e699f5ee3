#include "temporary_name.h"

#include <algorithm>

#include "checksum.h"
#include "platform.h"

namespace holdfast {

namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr size_t kRandomBytes = 16;

}  // namespace

Error RandomName(const char* suffix, std::string* name) {
  uint8_t random[kRandomBytes];
  Error error = RandomBytes(random, sizeof(random));
  if (!error.ok()) return error;
  *name = kTemporaryPrefix;
  for (const uint8_t byte : random) {
    name->push_back(kDigits[byte >> 4]);
    name->push_back(kDigits[byte & 15]);
  }
  name->append(suffix);
  return {};
}

std::string WaitingName(const std::string& name) {
  const std::string canonical = CanonicalName(name);
  const uint32_t sum = Crc32(canonical.data(), canonical.size());
  return kTemporaryPrefix + std::to_string(sum) + kTemporarySuffix;
}

bool IsRandomName(const std::string& name) {
  constexpr size_t kBegin = sizeof(kTemporaryPrefix) - 1;
  constexpr size_t kEnd = kBegin + 2 * kRandomBytes;
  return name.size() == kEnd + sizeof(kTemporarySuffix) - 1 &&
         name.compare(0, kBegin, kTemporaryPrefix) == 0 &&
         name.compare(kEnd, std::string::npos, kTemporarySuffix) == 0 &&
         std::all_of(name.begin() + kBegin, name.begin() + kEnd, [](char digit) {
           return std::string(kDigits).find(digit) != std::string::npos;
         });
}

}  // namespace holdfast
