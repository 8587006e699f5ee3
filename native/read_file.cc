#include "read_file.h"

#include <cerrno>

#include "bounds.h"
#include "guarded_copy.h"
#include "owner_rule.h"
#include "path.h"

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
Error ReadOnce(const ReadRequest& request, const Directory& directory, const std::string& name,
               ReadOutcome* outcome, bool* steady) {
  Error error = ReplayJournals(directory, name, request.journal_directory);
  Handle file;
  FileStatus before;
  if (error.ok()) error = OpenFile(directory, name, FileAccess::kRead, &file, &before);
  outcome->exists = file.valid();
  *steady = true;
  if (!error.ok() || !file.valid()) return error;
  if (before.kind != FileKind::kRegular) {
    return Error::Refused(Refusal::kNotRegular, EINVAL, "open");
  }
  error = CheckOwner(directory, before, request.trust_any_owner);
  if (!error.ok()) return error;
  error = ReadOpenFile(file.get(), before.size, request.max_bytes, &outcome->contents);
  if (!error.ok()) return error;
  FileStatus after;
  error = InspectFile(file.get(), &after);
  outcome->version = VersionOf(before);
  *steady = after.changed == before.changed && outcome->contents.size() == before.size &&
            !HasJournal(directory, before.identity, request.journal_directory);
  return error;
}

}  // namespace

Error ReadRegularFile(const ReadRequest& request, ReadOutcome* outcome) {
  const std::string& path = request.path;
  Directory directory;
  Error error = OpenDirectory(ParentOf(path), request.parents, &directory);
  if (!error.ok()) return WithPath(error, ParentOf(path));
  bool steady = false;
  for (int round = 0; round < kMaxRounds && !steady; round++) {
    error = ReadOnce(request, directory, NameOf(path), outcome, &steady);
    if (!error.ok()) return WithPath(error, path);
  }
  return steady ? Error{} : Error::FromSystem(EBUSY, "read", path);
}

}  // namespace holdfast
