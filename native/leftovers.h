// Temporary files with names that dead processes left behind. A living process holds the kernel lock on each of its own,
// so that nothing has to be known about processes: pids mean nothing in another pid namespace, or on another machine.
#ifndef HOLDFAST_LEFTOVERS_H_
#define HOLDFAST_LEFTOVERS_H_

#include <cstdint>
#include <string>

#include "platform.h"

namespace holdfast {

enum class Leftover : uint8_t {
  kAbsent,
  kRemoved,
  kHeld,  // a living process has it
  kKept,  // not ours to remove, or nobody can tell yet
};

// Removes the temporary file `name` if its owner is dead. `locked_before_named`: its lock was taken before it had this
// name, so that a free one says enough; of other files those that were changed in the minute before `just_made` was are
// spared.
Leftover RemoveLeftover(const Directory& directory, const std::string& name, NativeHandle just_made,
                        bool locked_before_named);

// Removes what has one of our names and is no file, such as a link or a directory, if it or the directory is ours: it has no
// contents that could be lost. Returns true if it is gone.
bool RemoveObstacle(const Directory& directory, const std::string& name, const FileStatus& status);

// Removes the temporary files with random names that are left behind in `directory`, where `just_made` is one, too.
// Looks for them at most once a minute in each directory, since a large one takes long to list.
void RemoveLeftovers(const Directory& directory, NativeHandle just_made);

}  // namespace holdfast

#endif  // HOLDFAST_LEFTOVERS_H_
