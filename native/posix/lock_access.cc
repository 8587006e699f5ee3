// Who may use a lock file that was made in the place of another, or beside it.
#include <unistd.h>

#include "posix.h"

namespace holdfast {

namespace {

constexpr uint32_t kOwnerBits = 0700;
constexpr uint32_t kGroupBits = 0070;
constexpr uint32_t kOtherBits = 0007;

}  // namespace

Error KeepAccess(NativeHandle from, const FileStatus& status, uint32_t mode, NativeHandle to) {
  FileStatus made;
  Error error = InspectFile(to, &made);
  if (!error.ok()) return error;
  const auto give = [&](int64_t owner, int64_t group) {
    FileStatus wanted;
    wanted.owner = owner;
    wanted.group = group;
    return SetOwner(to, wanted).ok();
  };
  constexpr int64_t kAsItIs = -1;
  bool same_owner = made.owner == status.owner;
  bool same_group = made.group == status.group;
  if (!same_owner && give(status.owner, status.group)) {
    same_owner = true;
    same_group = true;
  }
  if (!same_group) same_group = give(kAsItIs, status.group);

  // Of a file with a list the group's bits are the most that the list grants, and of one that lost it the group's own.
  const bool same_list = CopyAccessControlList(from, to).ok();
  uint32_t kept = status.mode & kPermissions;
  if (!same_list) kept &= ~kGroupBits;
  // Those who were the group's are among the others now, and some of those are the group's.
  if (!same_group) {
    const uint32_t both = (kept >> 3) & kept & kOtherBits;
    kept = (kept & kOwnerBits) | (both << 3) | both;
  }
  // The mode of another user's file opens none of ours to anybody who was not asked for.
  if (!same_owner) kept = mode & (kept | kOwnerBits);
  return SetMode(to, kept);
}

}  // namespace holdfast
