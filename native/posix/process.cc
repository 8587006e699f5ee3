#include <dlfcn.h>
#include <unistd.h>

#include "posix.h"

namespace holdfast {

int64_t ProcessId() { return getpid(); }

// A child process inherits the lock with its descriptor.
Error BindDescendants() { return Error::FromSystem(ENOTSUP, "holdfast"); }
Error CountDescendants(uint32_t*) { return Error::FromSystem(ENOTSUP, "holdfast"); }

void PinLibrary() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&PinLibrary), &info) == 0) return;
  // The handle is dropped on purpose: RTLD_NODELETE holds for the life of the process (dlopen(3)).
  static_cast<void>(dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE));
}

}  // namespace holdfast
