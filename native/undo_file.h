// The undo file of a guarded copy: what a target held before, complete and on the disk before a byte of it changes, and
// locked for as long as the copy runs (docs/protocol.md, section 10).
#ifndef HOLDFAST_UNDO_FILE_H_
#define HOLDFAST_UNDO_FILE_H_

#include <cstdint>
#include <string>

#include "platform.h"
#include "undo_format.h"

namespace holdfast {

// A directory that may hold the undo file of one target.
struct UndoPlace {
  const Directory* directory = nullptr;
  std::string path;     // of the directory
  std::string by_name;  // what the undo file of the target's name is called here
};

// The place beside the target.
UndoPlace PlaceBeside(const Directory& directory, const std::string& path, const std::string& name);
// `elsewhere` holds undo files of many directories, so that the name is made of the target's whole path.
Error PlaceElsewhere(const Directory& elsewhere, const std::string& path,
                     const Directory& directory, const std::string& name, UndoPlace* place);

// The second name of an undo file, by which a target that was renamed is found.
std::string UndoNameOf(uint64_t inode_high, uint64_t inode);

// An undo file that is open and locked, so that its copy has ended without removing it.
struct UndoFile {
  UndoPlace place;
  std::string name;  // that it was found by
  Handle file;
  FileStatus status;
  UndoHeader header{};

  // Returns true if its time is the one that holdfast gave it: a file that was only written has another.
  bool IsSealed() const;
  // Marks it as one that nothing depends on any more, and removes its names. An error only if neither could be done.
  Error Retire(Durability durability) const;
  // Keeps it under its second name only, for a target that is elsewhere by now. EEXIST if another has that. Where no file
  // can have two names, it is retired.
  Error SetAside() const;
};

// Opens and checks the undo file `name`; `undo->file` stays invalid if there is none, or none that matters. Transient EBUSY
// while its copy runs, or if it may not be opened. Refuses what is not ours, or no undo file. If `target` is given, only an
// undo file of that target matters.
Error OpenUndoFile(const UndoPlace& place, const std::string& name, const FileIdentity* target,
                   UndoFile* undo);

// What a new undo file is made of.
struct UndoSource {
  NativeHandle target = kNoHandle;
  FileStatus status;
  NativeHandle contents = kNoHandle;  // that are about to be copied
  uint64_t size = 0;
  uint32_t mode = 0;  // that the target is to have
};

// Returns true if the file may be an undo file that got its time before its name. It was locked before, unless nothing can be.
bool HasSealTime(const FileStatus& status);

// Makes the undo file, locked and on the disk, under both of its names. The target must be locked. EEXIST if something
// has the undo file's name.
Error CreateUndoFile(const UndoPlace& place, const UndoSource& source, UndoFile* undo);

// The refusal that names what has the undo file's name and its owner.
Error TakenUndoName(const UndoPlace& place);

// Returns true if a file of ours may be restored, or written by a copy that may have to be: nobody else can have put
// the file into its place.
bool MayRestore(const Directory& directory, const FileStatus& target);

}  // namespace holdfast

#endif  // HOLDFAST_UNDO_FILE_H_
