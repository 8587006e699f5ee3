// Makes good what a copy that was cut short has left: by the next use of the target.
#ifndef HOLDFAST_UNDO_REPLAY_H_
#define HOLDFAST_UNDO_REPLAY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "platform.h"
#include "undo_file.h"

namespace holdfast {

// Whose undo files are looked for, and where.
struct UndoSearch {
  // `other_directory`: to be looked into as well; or empty. All of them must outlive the search.
  UndoSearch(const Directory& target_directory, const std::string& target_path,
             const std::string& target_name, const std::string& other_directory);

  const Directory& directory;
  const std::string& path;  // of the target
  const std::string& name;  // of the target in `directory`
  const std::string& undo_directory;
  const UndoPlace beside;
  uint64_t max_bytes = UINT64_MAX;  // EFBIG for larger contents, before they are read
};

// What the undo files of a target came to.
struct UndoSighting {
  bool changed = false;  // the target was
  // Undo files of the target's name that are other files': those were renamed or removed after the crash.
  std::vector<FileIdentity> unrelated;
};

// Restores the target, whose status is `target`, if a dead process has left an undo file of it. Transient EBUSY if a copy is
// under way. Refuses undo files and targets that others can have planted, and a target that was changed since.
Error ReplayUndoFiles(const UndoSearch& search, const FileStatus& target, UndoSighting* sighting);

// Returns true if a copy into the target has begun, or was cut short, since ReplayUndoFiles().
bool HasUndoFile(const UndoSearch& search, const UndoSighting& sighting);

}  // namespace holdfast

#endif  // HOLDFAST_UNDO_REPLAY_H_
