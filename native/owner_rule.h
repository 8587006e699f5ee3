// Which existing files are used: one rule for lock files and for everything else that is read, written or replaced.
#ifndef HOLDFAST_OWNER_RULE_H_
#define HOLDFAST_OWNER_RULE_H_

#include <string>

#include "platform.h"

namespace holdfast {

// Returns true if a user other than the caller and the superuser owns `directory` or may create names in it. Such users
// are adversaries: they choose the owner, mode, size and contents of what a name leads to.
bool IsShared(const Directory& directory);

// Returns true if no adversary but the owner of `directory` can have put the file there: the directory is not shared, or
// the file's owner is the caller, the superuser or the directory's owner.
bool IsTrusted(const Directory& directory, const FileStatus& file);

// Refuses (kForeignOwner) a file that is not trusted, unless any owner is accepted.
Error CheckOwner(const Directory& directory, const FileStatus& file, bool trust_any_owner);

// Refuses an open file that is not regular, has more than one name or fails CheckOwner().
Error CheckOpenFile(const Directory& directory, const FileStatus& file, bool trust_any_owner);

// Compares what `name` leads to now with the open file `file`: `*in_place` is false if that is another file or none.
// Refuses (kHardLink) the file if it has a second name. One look at the name answers both: an adversary who links a
// precious file here and removes one of the links while it is opened cannot have both right at one instant.
Error CheckName(const Directory& directory, const std::string& name, const FileIdentity& file,
                bool* in_place);

// Opens an existing file to write into it, after all of the checks above. `*file` stays invalid if there is none.
// ESTALE: each of at most kMaxRounds times the name led to another file after it had been opened.
Error OpenForWriting(const Directory& directory, const std::string& name, FileAccess access,
                     bool trust_any_owner, Handle* file, FileStatus* status);

}  // namespace holdfast

#endif  // HOLDFAST_OWNER_RULE_H_
