#include <sys/vfs.h>

#include <cstdio>

#include "../posix/posix.h"

namespace holdfast {

namespace {

struct KnownFileSystem {
  uint32_t magic;
  FileSystemClass kind;
  const char* name;
};

// Magic numbers from statfs(2) and linux/magic.h. GFS2 and OCFS2 are cluster file systems: another machine grants.
constexpr KnownFileSystem kKnown[] = {
    {0xEF53, FileSystemClass::kLocal, "ext4"},
    {0x58465342, FileSystemClass::kLocal, "xfs"},
    {0x9123683E, FileSystemClass::kLocal, "btrfs"},
    {0x01021994, FileSystemClass::kLocal, "tmpfs"},
    {0x858458F6, FileSystemClass::kLocal, "ramfs"},
    {0x794C7630, FileSystemClass::kLocal, "overlay"},
    {0xF2F52010, FileSystemClass::kLocal, "f2fs"},
    {0x2FC12FC1, FileSystemClass::kLocal, "zfs"},
    {0xCA451A4E, FileSystemClass::kLocal, "bcachefs"},
    {0x3153464A, FileSystemClass::kLocal, "jfs"},
    {0x52654973, FileSystemClass::kLocal, "reiserfs"},
    {0x3434, FileSystemClass::kLocal, "nilfs2"},
    {0x4D44, FileSystemClass::kLocal, "vfat"},
    {0x2011BAB0, FileSystemClass::kLocal, "exfat"},
    {0x7366746E, FileSystemClass::kLocal, "ntfs3"},
    {0x9660, FileSystemClass::kLocal, "iso9660"},
    {0x73717368, FileSystemClass::kLocal, "squashfs"},
    {0x6969, FileSystemClass::kNetwork, "nfs"},
    {0x517B, FileSystemClass::kNetwork, "smb"},
    {0xFF534D42, FileSystemClass::kNetwork, "cifs"},
    {0xFE534D42, FileSystemClass::kNetwork, "smb2"},
    {0x01021997, FileSystemClass::kNetwork, "9p"},
    {0x00C36400, FileSystemClass::kNetwork, "ceph"},
    {0x0BD00BD0, FileSystemClass::kNetwork, "lustre"},
    {0x47504653, FileSystemClass::kNetwork, "gpfs"},
    {0x5346414F, FileSystemClass::kNetwork, "afs"},
    {0x73757245, FileSystemClass::kNetwork, "coda"},
    {0x01161970, FileSystemClass::kNetwork, "gfs2"},
    {0x7461636F, FileSystemClass::kNetwork, "ocfs2"},
    {0x65735546, FileSystemClass::kUnknown, "fuse"},
};

}  // namespace

Error InspectFileSystem(const Directory& directory, FileSystem* file_system) {
  struct statfs status;
  if (RetryOnInterrupt([&] { return fstatfs(DescriptorOf(directory), &status); }) != 0) {
    return LastError("statfs");
  }
  const auto magic = static_cast<uint32_t>(status.f_type);
  for (const KnownFileSystem& known : kKnown) {
    if (known.magic == magic) {
      *file_system = {known.kind, known.name};
      return {};
    }
  }
  char number[16];
  snprintf(number, sizeof(number), "0x%x", magic);
  *file_system = {FileSystemClass::kUnknown, number};
  return {};
}

}  // namespace holdfast
