#ifndef HOLDFAST_CHECKSUM_H_
#define HOLDFAST_CHECKSUM_H_

#include <cstddef>
#include <cstdint>

namespace holdfast {

// CRC-32 as in zip and zlib (polynomial 0xEDB88320, reflected). `before` is the sum of what comes before `data`.
uint32_t Crc32(const char* data, size_t size, uint32_t before = 0);

}  // namespace holdfast

#endif  // HOLDFAST_CHECKSUM_H_
