// Functions that only compute.
#include <algorithm>
#include <cstring>

#include "checksum.h"
#include "path.h"
#include "platform.h"
#include "record.h"
#include "targets.h"
#include "temporary_name.h"

namespace holdfast {

namespace {

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

void CheckRecord(const Record& record) {
  for (const std::string* text : {&record.host, &record.start_token, &record.session_id,
                                  &record.session_hash, &record.directory}) {
    MUST_HOLD(IsPrintable(*text));
  }
  MUST_HOLD(record.host.size() <= kMaxHostLength);
  MUST_HOLD(record.session_id.size() <= kMaxSessionIdLength);
  MUST_HOLD(record.start_token.size() <= kMaxStartTokenLength);
  MUST_HOLD(record.directory.size() <= kMaxDirectoryLength);
  MUST_HOLD(record.token <= kMaxRecordNumber && record.ttl <= kMaxRecordNumber);
  MUST_HOLD(record.epoch <= kMaxRecordNumber && record.pid >= 0);
  for (const char* part : {"/", "\\", ".."}) {
    MUST_HOLD(record.session_id.find(part) == std::string::npos);
  }
}

void CheckRoundTrip(const Record& record) {
  RecordBlock block;
  EncodeRecord(record, &block);
  const DecodedRecord again = DecodeRecord(block.data(), block.size(), block.size());
  MUST_HOLD(again.state == RecordState::kValid);
  MUST_HOLD(again.record.pid == record.pid && again.record.token == record.token);
  MUST_HOLD(again.record.ttl == record.ttl && again.record.epoch == record.epoch);
  MUST_HOLD(again.record.host == record.host);
  MUST_HOLD(again.record.session_id == record.session_id);
  MUST_HOLD(again.record.directory == record.directory);
}

void Decode(const char* data, size_t size, uint64_t file_size) {
  const DecodedRecord decoded = DecodeRecord(data, size, file_size);
  CheckRecord(decoded.record);
  if (decoded.state == RecordState::kValid) CheckRoundTrip(decoded.record);
}

// The fields of a record as the bytes have them, with a check sum that is right.
void DecodeSummed(std::string text) {
  text.resize(std::min<size_t>(text.size(), kRecordSize - 20));
  if (text.empty() || text.back() != '\n') text += '\n';
  std::string block = "holdfast lock 1\n" + text;
  block.resize(std::min(block.size(), kRecordSize - 14));
  char sum[16];
  static_cast<void>(
      std::snprintf(sum, sizeof(sum), "sum=%08x\n", Crc32(block.data(), block.size())));
  block += sum;
  block.resize(kRecordSize, ' ');
  block.back() = '\n';
  Decode(block.data(), block.size(), block.size());
}

void RunRecord(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  Decode(text.data(), size, size);
  Decode(text.data(), size, uint64_t{size} * 2);
  DecodeSummed(text);
}
const FuzzTarget record_target("record", RunRecord);

void RunPrintable(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t limit = size == 0 ? 0 : data[0];
  const std::string printable = PrintableAscii(text, limit);
  MUST_HOLD(printable.size() == std::min(size, limit) && IsPrintable(printable));
}
const FuzzTarget printable_target("printable", RunPrintable);

void RunChecksum(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const char*>(data);
  const size_t cut = size == 0 ? 0 : data[0] % (size + 1);
  MUST_HOLD(Crc32(bytes, size) == Crc32(bytes + cut, size - cut, Crc32(bytes, cut)));
  if (size == 0) return;
  std::string changed(bytes, size);
  changed[cut % size] = static_cast<char>(changed[cut % size] ^ 1);
  MUST_HOLD(Crc32(bytes, size) != Crc32(changed.data(), size));
}
const FuzzTarget checksum_target("checksum", RunChecksum);

void RunPath(const uint8_t* data, size_t size) {
  const std::string path(reinterpret_cast<const char*>(data), size);
  const std::string name = NameOf(path);
  const std::string parent = ParentOf(path);
  MUST_HOLD(name.find_first_of(kPathSeparators) == std::string::npos);
  MUST_HOLD(!parent.empty() || path.empty() || RootLength(path) == 0);
  MUST_HOLD(RootLength(path) <= path.size());
  MUST_HOLD(NameOf(Join(parent, name)) == name);
  MUST_HOLD(CanonicalName(CanonicalName(name)) == CanonicalName(name));
  const std::string waiting = WaitingName(name);
  MUST_HOLD(!IsRandomName(waiting) && NameOf(waiting) == waiting);
  if (IsRandomName(path)) MUST_HOLD(name == path && path.rfind(kTemporaryPrefix, 0) == 0);
}
const FuzzTarget path_target("path", RunPath);

}  // namespace

}  // namespace holdfast
