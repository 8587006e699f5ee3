#include "undo_format.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include "bounds.h"
#include "checksum.h"

namespace holdfast {

namespace {

// No file is as large, and sums of sizes below it do not wrap around.
constexpr uint64_t kNoSize = uint64_t{1} << 60;
// A killed write ends between two pages, and no system has smaller ones.
constexpr uint64_t kUndoBlock = 4096;
static_assert(kPiece % kUndoBlock == 0, "a piece must hold whole blocks");

// Both contents are cut at multiples of kUndoBlock and at their ends, so that each part of a torn target is old or new.
class Blocks {
 public:
  explicit Blocks(const UndoHeader& header)
      : old_size_(header.old_size), new_size_(header.new_size) {}

  uint64_t End(uint64_t begin) const {
    uint64_t end = begin - begin % kUndoBlock + kUndoBlock;
    for (const uint64_t size : {old_size_, new_size_}) {
      if (size > begin) end = std::min(end, size);
    }
    return end;
  }
  uint64_t CountNew() const {
    const uint64_t whole = (new_size_ + kUndoBlock - 1) / kUndoBlock;
    return whole + (old_size_ < new_size_ && old_size_ % kUndoBlock != 0 ? 1 : 0);
  }

 private:
  uint64_t old_size_;
  uint64_t new_size_;
};

uint64_t ContentsOffset(const UndoHeader& header) {
  return sizeof(UndoHeader) + Blocks(header).CountNew() * sizeof(uint32_t);
}

Error ReadExactly(NativeHandle file, uint64_t offset, char* buffer, size_t size) {
  size_t read = 0;
  Error error = ReadAt(file, offset, buffer, size, &read);
  return error.ok() && read < size ? Error::FromSystem(EIO, "read") : error;
}

// The part of [begin, begin + kPiece) that is below `size`.
size_t PartBelow(uint64_t size, uint64_t begin) {
  return size <= begin ? 0 : static_cast<size_t>(std::min<uint64_t>(size - begin, kPiece));
}

const char* BytesOf(const std::vector<uint32_t>& sums) {
  return reinterpret_cast<const char*>(sums.data());
}

Error WriteSums(NativeHandle undo, UndoHeader* header, NativeHandle source) {
  const Blocks blocks(*header);
  std::vector<char> piece(PartBelow(header->new_size, 0));
  std::vector<uint32_t> sums;
  uint64_t offset = sizeof(UndoHeader);
  for (uint64_t begin = 0; begin < header->new_size; begin += kPiece) {
    const size_t size = PartBelow(header->new_size, begin);
    Error error = ReadExactly(source, begin, piece.data(), size);
    if (!error.ok()) return error;
    sums.clear();
    for (uint64_t at = begin; at < begin + size;) {
      const uint64_t end = blocks.End(at);
      sums.push_back(Crc32(piece.data() + (at - begin), static_cast<size_t>(end - at)));
      at = end;
    }
    const size_t bytes = sums.size() * sizeof(uint32_t);
    header->sums_sum = Crc32(BytesOf(sums), bytes, header->sums_sum);
    error = WriteAt(undo, offset, BytesOf(sums), bytes);
    if (!error.ok()) return error;
    offset += bytes;
  }
  return {};
}

// One pass over the target, the old contents and the sums of the new ones.
class Comparison {
 public:
  Comparison(NativeHandle undo, const UndoHeader& header, NativeHandle target, uint64_t target_size)
      : undo_(undo),
        header_(header),
        blocks_(header),
        target_(target),
        target_size_(target_size),
        next_sum_(sizeof(UndoHeader)),
        old_contents_(ContentsOffset(header)) {}

  Error Run() {
    const uint64_t end = std::max(header_.old_size, header_.new_size);
    // A copy leaves no other sizes than these, and between them those at which it was cut.
    other_ = target_size_ > end || target_size_ < std::min(header_.old_size, header_.new_size);
    for (uint64_t begin = 0; begin < end; begin += kPiece) {
      Error error = ComparePiece(begin, std::min(begin + kPiece, end));
      if (!error.ok()) return error;
    }
    return {};
  }

  bool intact() const {
    return sums_sum_ == header_.sums_sum && contents_sum_ == header_.contents_sum;
  }
  CopiedContents contents() const {
    if (all_old_ && !other_ && target_size_ == header_.old_size) return CopiedContents::kOld;
    if (all_new_ && !other_ && target_size_ == header_.new_size) return CopiedContents::kNew;
    return other_ ? CopiedContents::kOther : CopiedContents::kTorn;
  }

 private:
  Error ComparePiece(uint64_t begin, uint64_t end) {
    old_.resize(PartBelow(header_.old_size, begin));
    is_.resize(PartBelow(target_size_, begin));
    Error error = ReadExactly(undo_, old_contents_ + begin, old_.data(), old_.size());
    if (error.ok()) error = ReadSums(begin, end);
    if (!error.ok()) return error;
    contents_sum_ = Crc32(old_.data(), old_.size(), contents_sum_);
    sums_sum_ = Crc32(BytesOf(sums_), sums_.size() * sizeof(uint32_t), sums_sum_);
    if (other_) return {};
    error = ReadExactly(target_, begin, is_.data(), is_.size());
    if (!error.ok()) return error;
    size_t sum = 0;
    for (uint64_t at = begin; at < end;) {
      const uint64_t block_end = blocks_.End(at);
      const uint32_t new_sum = block_end <= header_.new_size ? sums_[sum++] : 0;
      if (at < target_size_) CompareBlock(at - begin, at, block_end, new_sum);
      at = block_end;
    }
    return {};
  }

  Error ReadSums(uint64_t begin, uint64_t end) {
    sums_.clear();
    size_t count = 0;
    for (uint64_t at = begin; at < std::min(end, header_.new_size); at = blocks_.End(at)) count++;
    sums_.resize(count);
    const size_t bytes = count * sizeof(uint32_t);
    Error error = ReadExactly(undo_, next_sum_, reinterpret_cast<char*>(sums_.data()), bytes);
    next_sum_ += bytes;
    return error;
  }

  // `offset` in the piece, `begin` to `end` in the file.
  void CompareBlock(uint64_t offset, uint64_t begin, uint64_t end, uint32_t new_sum) {
    if (end > target_size_) {
      other_ = true;
      return;
    }
    const char* const is = is_.data() + offset;
    const auto size = static_cast<size_t>(end - begin);
    const bool is_old = end <= header_.old_size && memcmp(is, old_.data() + offset, size) == 0;
    const bool is_new = end <= header_.new_size && Crc32(is, size) == new_sum;
    // A loss of power may leave a file longer, and what belongs there unwritten.
    const bool is_unwritten = begin >= header_.old_size &&
                              std::all_of(is, is + size, [](char byte) { return byte == 0; });
    all_old_ = all_old_ && is_old;
    all_new_ = all_new_ && is_new;
    other_ = other_ || !(is_old || is_new || is_unwritten);
  }

  const NativeHandle undo_;
  const UndoHeader& header_;
  const Blocks blocks_;
  const NativeHandle target_;
  const uint64_t target_size_;
  uint64_t next_sum_;
  const uint64_t old_contents_;
  std::vector<char> old_;
  std::vector<char> is_;
  std::vector<uint32_t> sums_;
  uint32_t sums_sum_ = 0;
  uint32_t contents_sum_ = 0;
  bool all_old_ = true;
  bool all_new_ = true;
  bool other_ = false;
};

}  // namespace

uint32_t UndoHeader::Sum() const {
  return Crc32(reinterpret_cast<const char*>(this), offsetof(UndoHeader, sum));
}

bool UndoHeader::IsValid() const {
  // It becomes part of a path.
  const bool named = std::all_of(name, name + sizeof(name), [](char digit) {
    return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
  });
  return memcmp(magic, kUndoMagic, sizeof(kUndoMagic)) == 0 && named && sum == Sum();
}

bool UndoHeader::IsFor(const FileIdentity& target, uint64_t target_born) const {
  return inode == target.inode && inode_high == target.inode_high &&
         (born == target_born || born == 0 || target_born == 0);
}

uint64_t UndoHeader::FileSize() const {
  if (old_size >= kNoSize || new_size >= kNoSize) return 0;
  return ContentsOffset(*this) + old_size;
}

uint64_t UndoSplit(uint64_t old_size, uint64_t new_size) {
  const uint64_t common = std::min(old_size, new_size);
  return common - common % kUndoBlock;
}

Error CopyRange(NativeHandle from, uint64_t from_offset, NativeHandle to, uint64_t to_offset,
                uint64_t size) {
  std::vector<char> buffer(PartBelow(size, 0));
  for (uint64_t done = 0; done < size; done += kPiece) {
    const size_t part = PartBelow(size, done);
    Error error = ReadExactly(from, from_offset + done, buffer.data(), part);
    if (error.ok()) error = WriteAt(to, to_offset + done, buffer.data(), part);
    if (!error.ok()) return error;
  }
  return {};
}

Error WriteUndo(NativeHandle undo, UndoHeader* header, NativeHandle source, NativeHandle target) {
  Error error = WriteSums(undo, header, source);
  if (!error.ok()) return error;
  std::vector<char> piece(PartBelow(header->old_size, 0));
  const uint64_t offset = ContentsOffset(*header);
  for (uint64_t begin = 0; begin < header->old_size; begin += kPiece) {
    const size_t size = PartBelow(header->old_size, begin);
    error = ReadExactly(target, begin, piece.data(), size);
    if (error.ok()) error = WriteAt(undo, offset + begin, piece.data(), size);
    if (!error.ok()) return error;
    header->contents_sum = Crc32(piece.data(), size, header->contents_sum);
  }
  memcpy(header->magic, kUndoMagic, sizeof(kUndoMagic));
  header->sum = header->Sum();
  return WriteAt(undo, 0, reinterpret_cast<const char*>(header), sizeof(*header));
}

Error CompareWithUndo(NativeHandle undo, const UndoHeader& header, NativeHandle target,
                      uint64_t target_size, CopiedContents* contents, bool* intact) {
  Comparison comparison(undo, header, target, target_size);
  Error error = comparison.Run();
  *contents = comparison.contents();
  *intact = comparison.intact();
  return error;
}

Error RestoreContents(NativeHandle undo, const UndoHeader& header, NativeHandle target) {
  Error error = CopyRange(undo, ContentsOffset(header), target, 0, header.old_size);
  return error.ok() ? Truncate(target, header.old_size) : error;
}

}  // namespace holdfast
