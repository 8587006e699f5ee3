#include "../posix/posix.h"

namespace holdfast {

// macOS has no public call that names the holder of a flock.
KernelHolders FindKernelHolders(const FileIdentity&) { return {}; }

}  // namespace holdfast
