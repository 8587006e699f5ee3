// Access control lists of macOS, beside the mode and unlike POSIX's: entries that allow or deny, and no mask (acl(3)).
#include "../posix/posix.h"

// acl(3), declared here because cross-compilers come without <sys/acl.h>.
extern "C" {
void* acl_get_fd_np(int file, int type);
int acl_set_fd_np(int file, void* list, int type);
int acl_get_entry(void* list, int which, void** entry);
int acl_get_tag_type(void* entry, int* tag);
void* acl_init(int count);
int acl_free(void* object);
}

namespace holdfast {

namespace {

constexpr int kExtendedAcl = 0x100;  // ACL_TYPE_EXTENDED
constexpr int kExtendedDeny = 2;     // ACL_EXTENDED_DENY
constexpr int kFirstEntry = 0;       // ACL_FIRST_ENTRY
constexpr int kNextEntry = -1;       // ACL_NEXT_ENTRY

class AccessList {
 public:
  explicit AccessList(void* list) : list_(list) {}
  AccessList(const AccessList&) = delete;
  AccessList& operator=(const AccessList&) = delete;
  ~AccessList() {
    if (list_ != nullptr) acl_free(list_);
  }

  void* get() const { return list_; }

  bool Denies() const {
    void* entry = nullptr;
    // acl_get_entry(3): 0 for an entry, -1 after the last.
    for (int which = kFirstEntry; acl_get_entry(list_, which, &entry) == 0; which = kNextEntry) {
      int tag = 0;
      if (acl_get_tag_type(entry, &tag) != 0 || tag == kExtendedDeny) return true;
    }
    return false;
  }

 private:
  void* const list_;
};

// A file without a list is ENOENT (acl_get_fd_np(3)).
bool HasNone(int number) { return number == ENOENT || number == ENOTSUP; }

Error SetList(NativeHandle file, const AccessList& list) {
  if (acl_set_fd_np(DescriptorOf(file), list.get(), kExtendedAcl) != 0) return LastError("acl_set");
  return {};
}

}  // namespace

ModeWithoutList WithoutAccessControlList(const ReplacedFile& file, uint32_t mode) {
  const ModeWithoutList strictest{mode, mode & ~077U};
  Handle opened;
  FileStatus status;
  Error error = OpenFile(file.directory, file.name, FileAccess::kRead, &opened, &status);
  if (!error.ok() || !opened.valid()) return strictest;
  const AccessList list(acl_get_fd_np(DescriptorOf(opened.get()), kExtendedAcl));
  if (list.get() == nullptr) return HasNone(errno) ? ModeWithoutList{mode, mode} : strictest;
  // Without an entry that allows, its subject has less; without one that denies, more.
  return list.Denies() ? strictest : ModeWithoutList{mode, mode};
}

Error CopyAccessControlList(NativeHandle from, NativeHandle to) {
  const AccessList list(acl_get_fd_np(DescriptorOf(from), kExtendedAcl));
  if (list.get() != nullptr) return SetList(to, list);
  return HasNone(errno) ? RemoveAccessControlList(to) : LastError("acl_get");
}

Error RemoveAccessControlList(NativeHandle file) {
  const AccessList list(acl_get_fd_np(DescriptorOf(file), kExtendedAcl));
  if (list.get() == nullptr) return HasNone(errno) ? Error{} : LastError("acl_get");
  const AccessList empty(acl_init(1));
  return empty.get() == nullptr ? LastError("acl_init") : SetList(file, empty);
}

}  // namespace holdfast
