#ifndef HOLDFAST_SHA256_H_
#define HOLDFAST_SHA256_H_

#include <string>

namespace holdfast {

// SHA-256 (FIPS 180-4) in lower-case hexadecimal digits. For names that nobody can make two of, not for large data.
std::string Sha256Hex(const std::string& data);

}  // namespace holdfast

#endif  // HOLDFAST_SHA256_H_
