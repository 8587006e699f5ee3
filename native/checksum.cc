#include "checksum.h"

#include <array>

namespace holdfast {

namespace {

// kTables[0] is the usual table; kTables[k] advances a byte through k more zero bytes, so that eight bytes are taken at
// a time ("slicing by 8"). Every acquire and release sums a record, and byte by byte that would show.
constexpr size_t kSlices = 8;
using Tables = std::array<std::array<uint32_t, 256>, kSlices>;

constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t value = 0; value < 256; value++) {
    uint32_t sum = value;
    for (int bit = 0; bit < 8; bit++) sum = (sum >> 1) ^ ((sum & 1) != 0 ? 0xEDB88320U : 0U);
    tables[0][value] = sum;
  }
  for (size_t slice = 1; slice < kSlices; slice++) {
    for (uint32_t value = 0; value < 256; value++) {
      const uint32_t previous = tables[slice - 1][value];
      tables[slice][value] = (previous >> 8) ^ tables[0][previous & 0xFF];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

}  // namespace

uint32_t Crc32(const char* data, size_t size, uint32_t before) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(data);
  uint32_t sum = ~before;
  for (; size >= kSlices; size -= kSlices, bytes += kSlices) {
    sum = kTables[7][(sum ^ bytes[0]) & 0xFF] ^ kTables[6][((sum >> 8) ^ bytes[1]) & 0xFF] ^
          kTables[5][((sum >> 16) ^ bytes[2]) & 0xFF] ^ kTables[4][(sum >> 24) ^ bytes[3]] ^
          kTables[3][bytes[4]] ^ kTables[2][bytes[5]] ^ kTables[1][bytes[6]] ^ kTables[0][bytes[7]];
  }
  for (; size > 0; size--, bytes++) sum = (sum >> 8) ^ kTables[0][(sum ^ *bytes) & 0xFF];
  return ~sum;
}

}  // namespace holdfast
