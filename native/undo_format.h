// What an undo file holds: docs/protocol.md, section 10. It lets a reader tell a target that a copy was cut short in from
// one that is whole, and from one that was changed since.
#ifndef HOLDFAST_UNDO_FORMAT_H_
#define HOLDFAST_UNDO_FORMAT_H_

#include <cstddef>
#include <cstdint>

#include "platform.h"

namespace holdfast {

constexpr char kUndoMagic[] = "holdfast undo 1";
constexpr size_t kUndoNameDigits = 32;

// What precedes the sums and the old contents. It is read on machines of one byte order only.
struct UndoHeader {
  char magic[sizeof(kUndoMagic)];
  // The target, without its device: that number changes with every mount.
  uint64_t inode;
  uint64_t inode_high;
  uint64_t born;  // 0 if unknown
  uint64_t old_size;
  uint64_t new_size;
  char name[kUndoNameDigits];  // the digits in the undo file's name
  uint32_t old_mode;           // permission bits, without set-id bits
  uint32_t new_mode;
  uint32_t sums_sum;
  uint32_t contents_sum;
  uint32_t reserved;
  uint32_t sum;  // of all before it

  uint32_t Sum() const;
  bool IsValid() const;
  // Returns true if `target`, which was born at `target_born`, is the file that the copy wrote into.
  bool IsFor(const FileIdentity& target, uint64_t target_born) const;
  // The size of the whole undo file, or 0 if no file can be that large.
  uint64_t FileSize() const;
};
static_assert(sizeof(UndoHeader) == 112, "the header must have no padding");

// What the target of a copy holds.
enum class CopiedContents : uint8_t {
  kOld,    // all of the old contents
  kNew,    // all of the new ones
  kTorn,   // each block old or new, as an unfinished copy leaves it
  kOther,  // something that no copy has written
};

// Fills an empty undo file: sums of the `header->new_size` bytes that `source` holds, the `header->old_size` bytes of
// `target`, and the header, whose sums it sets.
Error WriteUndo(NativeHandle undo, UndoHeader* header, NativeHandle source, NativeHandle target);

// Compares a target of `target_size` bytes with both contents. `*intact`: the undo file's own sums are right. Memory and
// time are bounded by the sizes in the header, which the caller has compared with the undo file's.
Error CompareWithUndo(NativeHandle undo, const UndoHeader& header, NativeHandle target,
                      uint64_t target_size, CopiedContents* contents, bool* intact);

// Puts the old contents and their size back.
Error RestoreContents(NativeHandle undo, const UndoHeader& header, NativeHandle target);

// Copies `size` bytes from one file to another. EIO if there are fewer.
Error CopyRange(NativeHandle from, uint64_t from_offset, NativeHandle to, uint64_t to_offset,
                uint64_t size);

// Where a copy writes first: all from here on, then what is before it. Blocks are never written in two parts.
uint64_t UndoSplit(uint64_t old_size, uint64_t new_size);

}  // namespace holdfast

#endif  // HOLDFAST_UNDO_FORMAT_H_
