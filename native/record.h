// The block of text in a lock file that tells who holds it. It is information, never the lock itself.
//
//   holdfast lock 1
//   pid=4711
//   host=build-3
//   start_token=...
//   token=1763696101234567
//   acquired_at=1763696101234
//   sum=89abcdef
//   (spaces up to 1,024 bytes, the last byte a line feed)
#ifndef HOLDFAST_RECORD_H_
#define HOLDFAST_RECORD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace holdfast {

constexpr size_t kRecordSize = 1024;
using RecordBlock = std::array<char, kRecordSize>;

// Numbers stay exact in a JavaScript number.
constexpr uint64_t kMaxRecordNumber = (uint64_t{1} << 53) - 1;
constexpr size_t kMaxHostLength = 255;
constexpr size_t kMaxSessionIdLength = 128;
constexpr size_t kSessionHashLength = 64;
constexpr size_t kMaxStartTokenLength = 127;
constexpr size_t kMaxDirectoryLength = 127;
// The last moment that a Date of JavaScript can name, in milliseconds since 1970.
constexpr uint64_t kMaxRecordTime = 8'640'000'000'000'000;
// As for the option `ttl`.
constexpr uint64_t kMaxRecordTtl = (uint64_t{1} << 31) - 1;

struct Record {
  // The holder; pid 0 when there is none.
  int64_t pid = 0;
  std::string host;
  std::string start_token;
  std::string session_id;
  std::string session_hash;
  uint64_t acquired_at = 0;  // milliseconds since 1970

  // These outlive a release.
  uint64_t token = 0;
  uint64_t ttl = 0;  // milliseconds; 0: none
  uint64_t epoch = 0;
  // What tells the directory that a holder made beside the lock file, for programs that know nothing of that
  // (lock_directory.h), from every other.
  std::string directory;

  bool has_holder() const { return pid != 0; }
};

enum class RecordState : uint8_t {
  kValid,
  kEmpty,      // never written, or zeroed by a loss of power
  kMalformed,  // ours by its first line, but not to be believed
  kForeign,    // somebody's data
};

struct DecodedRecord {
  RecordState state = RecordState::kEmpty;
  Record record;
  // The stored session id could lead out of a directory, so it was dropped.
  bool session_rejected = false;
};

// Every string in `record` must be printable ASCII within its limit above.
void EncodeRecord(const Record& record, RecordBlock* block);

// Judges the first `size` bytes of a file of `file_size` bytes.
DecodedRecord DecodeRecord(const char* data, size_t size, uint64_t file_size);

// `text` cut to `limit` bytes, with everything but printable ASCII replaced by '?'.
std::string PrintableAscii(const std::string& text, size_t limit);

}  // namespace holdfast

#endif  // HOLDFAST_RECORD_H_
