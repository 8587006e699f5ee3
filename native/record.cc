#include "record.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>
#include <string_view>

#include "checksum.h"

namespace holdfast {

namespace {

constexpr std::string_view kMagicLine = "holdfast lock 1\n";
constexpr std::string_view kSumKey = "sum=";
constexpr size_t kSumDigits = 8;
constexpr uint64_t kMaxPid = 0x7FFFFFFF;

bool IsPrintable(char character) { return character >= 0x20 && character <= 0x7E; }

class BlockWriter {
 public:
  explicit BlockWriter(RecordBlock* block) : block_(*block) {}

  void Text(std::string_view text) {
    assert(size_ + text.size() <= kRecordSize);
    memcpy(block_.data() + size_, text.data(), text.size());
    size_ += text.size();
  }

  void Field(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    Text(key);
    Text("=");
    Text(value);
    Text("\n");
  }

  void Field(std::string_view key, uint64_t value) {
    if (value == 0) return;
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
    Field(key, std::string_view(digits, static_cast<size_t>(end - digits)));
  }

  void Finish() {
    static constexpr char kDigits[] = "0123456789abcdef";
    const uint32_t sum = Crc32(block_.data(), size_);
    Text(kSumKey);
    for (int shift = 28; shift >= 0; shift -= 4) Text({&kDigits[(sum >> shift) & 15], 1});
    Text("\n");
    memset(block_.data() + size_, ' ', kRecordSize - size_);
    block_[kRecordSize - 1] = '\n';
  }

 private:
  RecordBlock& block_;
  size_t size_ = 0;
};

// A decimal number as EncodeRecord writes it: no sign, no leading zero.
bool ParseNumber(std::string_view text, uint64_t max, uint64_t* number) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *number);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() && *number <= max;
}

bool ParseText(std::string_view text, size_t limit, std::string* value) {
  if (text.empty() || text.size() > limit) return false;
  value->assign(text);
  return true;
}

bool IsHash(std::string_view text) {
  return text.size() == kSessionHashLength && std::all_of(text.begin(), text.end(), [](char digit) {
           return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
         });
}

bool CouldLeaveDirectory(const std::string& session_id) {
  return session_id.find_first_of("/\\") != std::string::npos ||
         session_id.find("..") != std::string::npos;
}

// Collects the fields of one record; a key may come once.
class RecordParser {
 public:
  explicit RecordParser(DecodedRecord* result) : result_(*result), record_(result->record) {}

  bool Field(std::string_view key, std::string_view value) {
    uint64_t pid = 0;
    if (key == "pid") {
      if (!Once(0) || !ParseNumber(value, kMaxPid, &pid)) return false;
      record_.pid = static_cast<int64_t>(pid);
      return pid != 0;
    }
    if (key == "host") return Once(1) && ParseText(value, kMaxHostLength, &record_.host);
    if (key == "start_token") {
      return Once(2) && ParseText(value, kMaxStartTokenLength, &record_.start_token);
    }
    if (key == "session_id") return Once(3) && SessionId(value);
    if (key == "session_hash") {
      record_.session_hash.assign(value);
      return Once(4) && IsHash(value);
    }
    if (key == "acquired_at") {
      return Once(5) && ParseNumber(value, kMaxRecordTime, &record_.acquired_at);
    }
    if (key == "token") return Once(6) && ParseNumber(value, kMaxRecordNumber, &record_.token);
    if (key == "ttl") return Once(7) && ParseNumber(value, kMaxRecordTtl, &record_.ttl);
    if (key == "epoch") return Once(8) && ParseNumber(value, kMaxRecordNumber, &record_.epoch);
    if (key == "directory") {
      return Once(9) && ParseText(value, kMaxDirectoryLength, &record_.directory);
    }
    // A later version may add fields that this one need not know.
    return !key.empty() && std::all_of(key.begin(), key.end(), [](char letter) {
      return (letter >= 'a' && letter <= 'z') || letter == '_';
    });
  }

  // A record has a token; it names a holder whole or not at all.
  bool Complete() const {
    const bool whole = !record_.host.empty() && record_.acquired_at != 0;
    const bool any = whole || !record_.host.empty() || record_.acquired_at != 0 ||
                     !record_.start_token.empty() || Seen(3) || Seen(4);
    return record_.token != 0 && (record_.has_holder() ? whole : !any);
  }

 private:
  bool Seen(int field) const { return ((seen_ >> field) & 1U) != 0; }

  bool Once(int field) {
    if (Seen(field)) return false;
    seen_ |= 1U << field;
    return true;
  }

  bool SessionId(std::string_view value) {
    if (!ParseText(value, kMaxSessionIdLength, &record_.session_id)) return false;
    if (CouldLeaveDirectory(record_.session_id)) {
      record_.session_id.clear();
      result_.session_rejected = true;
    }
    return true;
  }

  DecodedRecord& result_;
  Record& record_;
  uint32_t seen_ = 0;
};

// Whether there are spaces only: each character is like the next one. Every acquire looks at a whole block's, and one by
// one that would show.
bool IsBlank(std::string_view text) {
  return text.empty() ||
         (text[0] == ' ' && memcmp(text.data(), text.data() + 1, text.size() - 1) == 0);
}

// Checks the sum line at `position` and the padding behind it.
bool IsSealed(std::string_view block, size_t position) {
  const size_t end = position + kSumKey.size() + kSumDigits;
  if (end >= kRecordSize || block[end] != '\n') return false;
  uint32_t stored = 0;
  const char* digits = block.data() + position + kSumKey.size();
  const auto result = std::from_chars(digits, digits + kSumDigits, stored, 16);
  if (result.ec != std::errc() || result.ptr != digits + kSumDigits) return false;
  if (stored != Crc32(block.data(), position)) return false;
  const std::string_view padding = block.substr(end + 1);
  if (padding.empty()) return true;
  return padding.back() == '\n' && IsBlank(padding.substr(0, padding.size() - 1));
}

bool ParseRecord(std::string_view block, DecodedRecord* result) {
  RecordParser parser(result);
  size_t position = kMagicLine.size();
  while (block.substr(position, kSumKey.size()) != kSumKey) {
    const size_t end = block.find('\n', position);
    if (end == std::string_view::npos) return false;
    const std::string_view line = block.substr(position, end - position);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return false;
    if (!std::all_of(line.begin(), line.end(), IsPrintable)) return false;
    if (!parser.Field(line.substr(0, equals), line.substr(equals + 1))) return false;
    position = end + 1;
  }
  return IsSealed(block, position) && parser.Complete();
}

}  // namespace

void EncodeRecord(const Record& record, RecordBlock* block) {
  BlockWriter writer(block);
  writer.Text(kMagicLine);
  if (record.has_holder()) {
    writer.Field("pid", static_cast<uint64_t>(record.pid));
    writer.Field("host", record.host);
    writer.Field("start_token", record.start_token);
    writer.Field("session_id", record.session_id);
    writer.Field("session_hash", record.session_hash);
    writer.Field("acquired_at", record.acquired_at);
  }
  writer.Field("token", record.token);
  writer.Field("ttl", record.ttl);
  writer.Field("epoch", record.epoch);
  writer.Field("directory", record.directory);
  writer.Finish();
}

DecodedRecord DecodeRecord(const char* data, size_t size, uint64_t file_size) {
  DecodedRecord result;
  const std::string_view block(data, std::min(size, kRecordSize));
  if (block.substr(0, kMagicLine.size()) == kMagicLine) {
    const bool valid = block.size() == kRecordSize && ParseRecord(block, &result);
    if (!valid) result = DecodedRecord{};
    result.state = valid ? RecordState::kValid : RecordState::kMalformed;
    return result;
  }
  // A file longer than a record that begins with zeros may be anything, a disk image for one.
  const bool zeros = file_size <= kRecordSize && block.find_first_not_of('\0') == block.npos;
  result.state = zeros ? RecordState::kEmpty : RecordState::kForeign;
  return result;
}

std::string PrintableAscii(const std::string& text, size_t limit) {
  std::string result = text.substr(0, limit);
  std::replace_if(
      result.begin(), result.end(), [](char character) { return !IsPrintable(character); }, '?');
  return result;
}

}  // namespace holdfast
