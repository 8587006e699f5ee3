#include "../posix/posix.h"

namespace holdfast {

// macOS has no public call that names the holder of a flock.
KernelHolders FindKernelHolders(const FileIdentity&) { return {}; }
std::vector<int64_t> FindInheritors(const FileIdentity&, const std::vector<int64_t>&) { return {}; }

}  // namespace holdfast
