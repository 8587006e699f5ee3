// Writes into an existing file where nothing can be renamed over it: a mounted file, a file in a directory that may not
// be written. An undo file, complete and on the disk before a byte changes, holds the old contents, so that a failure
// restores them and a crash is made good by the next use (undo_replay.h).
#ifndef HOLDFAST_GUARDED_COPY_H_
#define HOLDFAST_GUARDED_COPY_H_

#include <optional>
#include <string>

#include "platform.h"
#include "replace.h"
#include "undo_file.h"

namespace holdfast {

struct GuardedCopy {
  const Directory* directory = nullptr;
  std::string path;
  std::string name;
  // Where the undo file goes when it cannot lie beside the target; or empty.
  std::string undo_directory;
  NativeHandle source = kNoHandle;
  uint64_t size = 0;
  FileIdentity expected;  // the file that was checked: no other is written to
  std::optional<uint32_t> mode;
  Durability durability = Durability::kOrdered;
  // Compare-and-swap: the state that the file must be in, and must be in still when the copy has ended.
  std::optional<FileVersion> version;

  // `*state` tells what an error left behind, `*conflict` that the file was not in that state. Transient EBUSY if the
  // target or its undo file is in use: undo files are to be replayed again before the next try.
  Error Run(TargetState* state, bool* conflict) const;

 private:
  bool IsInPlace() const;
  Error OpenTarget(Handle* target, FileStatus* status) const;
  Error PrepareUndo(NativeHandle target, const FileStatus& status, Directory* elsewhere,
                    UndoFile* undo) const;
  Error Overwrite(NativeHandle target, const FileStatus& old) const;
};

}  // namespace holdfast

#endif  // HOLDFAST_GUARDED_COPY_H_
