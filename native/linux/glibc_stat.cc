// fstat() and fstatat() for a binary that is cross-built for glibc 2.17. Before 2.33 they were no functions of the library:
// each program got its own, which called these. zig's make the system call themselves and leave errno as it was, so that
// a file that is not there looks like whatever failed last. (A compiler of the system has the right ones.)
#include <sys/stat.h>

extern "C" {

int __fxstat(int version, int file, struct stat* status);
int __fxstatat(int version, int directory, const char* name, struct stat* status, int flags);

// _STAT_VER of glibc's <bits/stat.h>, which differs from one processor to the next, and which no header has any more.
#ifdef __x86_64__
static constexpr int kVersion = 1;
#else
static constexpr int kVersion = 0;
#endif

int fstat(int file, struct stat* status) { return __fxstat(kVersion, file, status); }

int fstatat(int directory, const char* name, struct stat* status, int flags) {
  return __fxstatat(kVersion, directory, name, status, flags);
}

}  // extern "C"
