// Writes into an existing file where nothing can be renamed over it: a mounted file, a file in a directory that may not
// be written. A journal, complete and on the disk before a byte changes, holds the old contents, so that a failure
// restores them and a crash is made good by the next use.
#ifndef HOLDFAST_GUARDED_COPY_H_
#define HOLDFAST_GUARDED_COPY_H_

#include <optional>
#include <string>

#include "platform.h"
#include "replace.h"

namespace holdfast {

struct GuardedCopy {
  const Directory* directory = nullptr;
  std::string name;
  std::string
      journal_directory;  // where the journal goes when it cannot lie beside the target; or empty
  NativeHandle source = kNoHandle;
  uint64_t size = 0;
  FileIdentity expected;  // the file that was checked: no other is written to
  std::optional<uint32_t> mode;
  Durability durability = Durability::kOrdered;
  // Compare-and-swap: the state that the file must be in, and must be in still when the copy has ended.
  std::optional<FileVersion> version;

  // `*state` tells what an error left behind, `*conflict` that the file was not in that state.
  Error Run(TargetState* state, bool* conflict) const;

 private:
  bool IsInPlace() const;
};

// Restores `name` from a journal that a dead process left beside it or in `journal_directory`. Waits for a living one.
Error ReplayJournals(const Directory& directory, const std::string& name,
                     const std::string& journal_directory);

// Whether a copy into the file with this identity is under way, or was cut short.
bool HasJournal(const Directory& directory, const FileIdentity& target,
                const std::string& journal_directory);

}  // namespace holdfast

#endif  // HOLDFAST_GUARDED_COPY_H_
