// POSIX access control lists, in the form in which the kernel keeps them as an extended attribute (acl(5),
// linux/posix_acl_xattr.h). Where a file has one, the group's bits of its mode are the list's mask: they bound what named
// users and groups and the owning group get, and may be more than any of them has.
#include <endian.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "../posix/posix.h"

namespace holdfast {

namespace {

constexpr char kAccessList[] = "system.posix_acl_access";
constexpr size_t kMaxListSize = 64 * 1024;  // XATTR_SIZE_MAX

enum Tag : uint16_t {
  kNamedUser = 0x02,
  kOwningGroup = 0x04,
  kNamedGroup = 0x08,
  kMask = 0x10,
};

struct Entry {
  uint16_t tag;
  uint16_t rights;
  uint32_t id;
};
constexpr size_t kHeaderSize = sizeof(uint32_t);

class AccessList {
 public:
  bool empty() const { return bytes_.empty(); }
  const std::vector<char>& bytes() const { return bytes_; }

  // `read` is fgetxattr() or lgetxattr(), applied to a buffer and its size.
  template <typename Read>
  Error ReadBy(Read read) {
    bytes_.clear();
    char buffer[256];  // what nearly every list fits in
    ssize_t size = read(buffer, sizeof(buffer));
    if (size >= 0) {
      bytes_.assign(buffer, buffer + size);
      return {};
    }
    if (errno == ERANGE) {
      bytes_.resize(kMaxListSize);
      size = read(bytes_.data(), bytes_.size());
      bytes_.resize(size < 0 ? 0 : static_cast<size_t>(size));
      if (size >= 0) return {};
    }
    return errno == ENODATA || errno == ENOTSUP ? Error{} : LastError("getxattr");
  }

  // What `mode`, whose group's bits are the mask, says without the list: the rights of the owner, the owning group and the
  // others, and those of them that give nobody more than the list did.
  ModeWithoutList Without(uint32_t mode) const {
    const uint32_t mask = RightsOf(kMask, 7U);
    const uint32_t group = RightsOf(kOwningGroup, 0) & mask;
    uint32_t limited_group = group;
    uint32_t limited_others = mode & 7U;
    // Without an entry of its own a user falls under the owning group or the others; the members of a group under the others.
    ForEach([&](const Entry& entry) {
      if (entry.tag == kNamedUser) limited_group &= entry.rights;
      if (entry.tag == kNamedUser || entry.tag == kNamedGroup)
        limited_others &= entry.rights & mask;
    });
    const uint32_t owner = mode & ~077U;
    return {owner | (group << 3U) | (mode & 7U), owner | (limited_group << 3U) | limited_others};
  }

 private:
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t offset = kHeaderSize; offset + sizeof(Entry) <= bytes_.size();
         offset += sizeof(Entry)) {
      Entry entry;
      memcpy(&entry, bytes_.data() + offset, sizeof(entry));
      visit(Entry{le16toh(entry.tag), le16toh(entry.rights), entry.id});
    }
  }

  uint32_t RightsOf(Tag tag, uint32_t otherwise) const {
    uint32_t rights = otherwise;
    ForEach([&](const Entry& entry) {
      if (entry.tag == tag) rights = entry.rights & 7U;
    });
    return rights;
  }

  std::vector<char> bytes_;
};

Error ReadListOf(int file, AccessList* list) {
  return list->ReadBy(
      [&](char* buffer, size_t size) { return fgetxattr(file, kAccessList, buffer, size); });
}

// By the held directory's name in /proc, since no kernel before 6.13 reads an attribute relative to a descriptor: the file
// may not be ours to open. Without /proc it is opened.
Error ReadListOfName(const ReplacedFile& file, AccessList* list) {
  const std::string path =
      "/proc/self/fd/" + std::to_string(DescriptorOf(file.directory)) + "/" + file.name;
  Error error = list->ReadBy([&](char* buffer, size_t size) {
    return lgetxattr(path.c_str(), kAccessList, buffer, size);
  });
  if (error.number != ENOENT) return error;
  Handle opened;
  FileStatus status;
  error = OpenFile(file.directory, file.name, FileAccess::kRead, &opened, &status);
  if (!error.ok() || !opened.valid()) return error;
  return ReadListOf(DescriptorOf(opened.get()), list);
}

}  // namespace

ModeWithoutList WithoutAccessControlList(const ReplacedFile& file, uint32_t mode) {
  AccessList list;
  // A list that cannot be read may be as strict as can be.
  if (!ReadListOfName(file, &list).ok()) return {mode, mode & ~077U};
  return list.empty() ? ModeWithoutList{mode, mode} : list.Without(mode);
}

Error CopyAccessControlList(NativeHandle from, NativeHandle to) {
  AccessList list;
  Error error = ReadListOf(DescriptorOf(from), &list);
  if (!error.ok()) return error;
  if (list.empty()) return RemoveAccessControlList(to);
  const std::vector<char>& bytes = list.bytes();
  if (fsetxattr(DescriptorOf(to), kAccessList, bytes.data(), bytes.size(), 0) != 0) {
    return LastError("fsetxattr");
  }
  return {};
}

Error RemoveAccessControlList(NativeHandle file) {
  const int descriptor = DescriptorOf(file);
  // Asked first: a removal begins a transaction even where there is nothing to remove.
  if (fgetxattr(descriptor, kAccessList, nullptr, 0) < 0) {
    return errno == ENODATA || errno == ENOTSUP ? Error{} : LastError("fgetxattr");
  }
  if (fremovexattr(descriptor, kAccessList) != 0 && errno != ENODATA) {
    return LastError("fremovexattr");
  }
  return {};
}

}  // namespace holdfast
