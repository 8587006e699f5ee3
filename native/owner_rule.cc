#include "owner_rule.h"

#include <cerrno>

#include "bounds.h"

namespace holdfast {

bool IsShared(const Directory& directory) {
  return directory.others_can_write || IsOtherUser(directory.owner);
}

bool IsTrusted(const Directory& directory, const FileStatus& file) {
  return !IsShared(directory) || IsTrustedOwner(file.owner, directory.owner);
}

Error CheckOwner(const Directory& directory, const FileStatus& file, bool trust_any_owner) {
  if (trust_any_owner || IsTrusted(directory, file)) return {};
  return Error::Refused(Refusal::kForeignOwner, EPERM, "open", {}, file.owner);
}

Error CheckOpenFile(const Directory& directory, const FileStatus& file, bool trust_any_owner) {
  if (file.kind != FileKind::kRegular) {
    return Error::Refused(Refusal::kNotRegular, EINVAL, "open", {}, file.owner);
  }
  if (file.link_count > 1)
    return Error::Refused(Refusal::kHardLink, EMLINK, "open", {}, file.owner);
  return CheckOwner(directory, file, trust_any_owner);
}

Error CheckName(const Directory& directory, const std::string& name, const FileIdentity& file,
                bool* in_place) {
  FileStatus now;
  Error error = InspectName(directory, name, &now);
  *in_place = error.ok() && now.kind != FileKind::kAbsent && now.identity == file;
  if (*in_place && now.link_count > 1) {
    return Error::Refused(Refusal::kHardLink, EMLINK, "lstat", {}, now.owner);
  }
  return error;
}

Error OpenForWriting(const Directory& directory, const std::string& name, FileAccess access,
                     bool trust_any_owner, Handle* file, FileStatus* status) {
  for (int round = 0; round < kMaxRounds; round++) {
    file->Reset();
    Error error = OpenFile(directory, name, access, file, status);
    if (!error.ok() || !file->valid()) return error;
    if (status->link_count == 0) continue;  // removed after it was opened
    error = CheckOpenFile(directory, *status, trust_any_owner);
    bool in_place = false;
    if (error.ok()) error = CheckName(directory, name, status->identity, &in_place);
    if (!error.ok() || in_place) return error;
  }
  return Error::FromSystem(ESTALE, "open");
}

}  // namespace holdfast
