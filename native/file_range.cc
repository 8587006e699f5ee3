#include "file_range.h"

#include <algorithm>
#include <cerrno>

#include "bounds.h"
#include "owner_rule.h"
#include "path.h"

namespace holdfast {

namespace {

Error OpenParent(const FileRange& range, Directory* directory) {
  const std::string parent = ParentOf(range.path);
  return WithPath(OpenDirectory(parent, range.parents, directory), parent);
}

Error WriteAndFlush(const TailRequest& request, NativeHandle file, uint64_t file_size,
                    const char* data, size_t size) {
  uint64_t end = request.range.offset;
  while (size > 0) {
    const size_t piece = std::min(size, kPiece);
    Error error = WriteAt(file, end, data, piece);
    if (!error.ok()) return error;
    end += piece;
    data += piece;
    size -= piece;
  }
  if (file_size > end) {
    Error error = Truncate(file, end);
    if (!error.ok()) return error;
  }
  return Flush(file, request.durability);
}

}  // namespace

Error WriteTail(const TailRequest& request, const char* data, size_t size, bool* exists,
                uint64_t* file_size) {
  const FileRange& range = request.range;
  Directory directory;
  Handle file;
  FileStatus status;
  Error error = OpenParent(range, &directory);
  if (!error.ok()) return error;
  error = OpenForWriting(directory, NameOf(range.path), FileAccess::kReadWrite,
                         range.trust_any_owner, &file, &status);
  *exists = file.valid();
  if (!error.ok() || !file.valid()) return WithPath(error, range.path);
  *file_size = status.size;
  if (status.size < range.offset) return {};
  error = WriteAndFlush(request, file.get(), status.size, data, size);
  if (!error.ok()) static_cast<void>(Truncate(file.get(), range.offset));
  return WithPath(error, range.path);
}

Error ReadRange(const FileRange& range, size_t size, bool* exists, std::vector<char>* contents) {
  Directory directory;
  Handle file;
  FileStatus status;
  Error error = OpenParent(range, &directory);
  if (!error.ok()) return error;
  error = OpenFile(directory, NameOf(range.path), FileAccess::kRead, &file, &status);
  *exists = file.valid();
  if (!error.ok() || !file.valid()) return WithPath(error, range.path);
  if (status.kind != FileKind::kRegular) {
    return Error::Refused(Refusal::kNotRegular, EINVAL, "open", range.path);
  }
  error = CheckOwner(directory, status, range.trust_any_owner);
  if (!error.ok()) return WithPath(error, range.path);
  // No more memory than there is to read, whatever is asked for.
  const uint64_t rest = status.size > range.offset ? status.size - range.offset : 0;
  contents->resize(std::min<uint64_t>(size, rest));
  size_t read = 0;
  error = ReadAt(file.get(), range.offset, contents->data(), contents->size(), &read);
  contents->resize(read);
  return WithPath(error, range.path);
}

}  // namespace holdfast
