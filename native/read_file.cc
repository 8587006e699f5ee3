#include "read_file.h"

#include <cerrno>

#include "bounds.h"
#include "owner_rule.h"
#include "path.h"
#include "target_directory.h"
#include "undo_replay.h"

namespace holdfast {

namespace {

Error ReadOpenFile(NativeHandle file, uint64_t size, uint64_t max_bytes,
                   std::vector<char>* contents) {
  if (size > max_bytes) return Error::FromSystem(EFBIG, "read");
  // One byte more than there should be tells a file that grows.
  contents->resize(size + 1);
  size_t read = 0;
  Error error = ReadAt(file, 0, contents->data(), contents->size(), &read);
  contents->resize(read);
  return error;
}

// One reading; `*steady` tells that nothing changed meanwhile.
Error ReadOnce(const UndoSearch& search, bool trust_any_owner, ReadOutcome* outcome, bool* steady) {
  Handle file;
  FileStatus before;
  *steady = true;
  Error error = OpenFile(search.directory, search.name, FileAccess::kRead, &file, &before);
  outcome->exists = file.valid();
  if (!error.ok() || !file.valid()) return error;
  if (before.kind != FileKind::kRegular) {
    return Error::Refused(Refusal::kNotRegular, EINVAL, "open");
  }
  error = CheckOwner(search.directory, before, trust_any_owner);
  UndoSighting sighting;
  if (error.ok()) error = ReplayUndoFiles(search, before, &sighting);
  if (!error.ok()) return error;
  *steady = !sighting.changed;
  if (!*steady) return {};
  error = ReadOpenFile(file.get(), before.size, search.max_bytes, &outcome->contents);
  if (!error.ok()) return error;
  FileStatus after;
  error = InspectFile(file.get(), &after);
  outcome->version = VersionOf(before);
  *steady = after.changed == before.changed && outcome->contents.size() == before.size &&
            !HasUndoFile(search, sighting);
  return error;
}

}  // namespace

Error ReadRegularFile(const ReadRequest& request, ReadOutcome* outcome) {
  const std::string& path = request.path;
  Directory directory;
  TargetDirectoryRequest inside;
  inside.within = request.within;
  inside.parents = request.parents;
  Error error = OpenTargetDirectory(inside, ParentOf(path), &directory);
  if (error.number == ENOENT) return {};
  if (!error.ok()) return WithPath(error, ParentOf(path));
  const std::string name = NameOf(path);
  UndoSearch search(directory, path, name, request.undo_directory);
  search.max_bytes = request.max_bytes;
  bool steady = false;
  for (int round = 0; round < kMaxRounds && !steady; round++) {
    error = ReadOnce(search, request.trust_any_owner, outcome, &steady);
    if (!error.ok()) return WithPath(error, path);
  }
  if (steady) return {};
  error = Error::FromSystem(EBUSY, "read", path);
  error.transient = true;
  return error;
}

}  // namespace holdfast
