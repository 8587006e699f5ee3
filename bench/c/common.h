// What the programs in C have in common: the clock, the figures they print, and how they give up.
#ifndef HOLDFAST_BENCH_COMMON_H_
#define HOLDFAST_BENCH_COMMON_H_

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RECORD_SIZE 1024

static inline int64_t Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int Must(int result, const char* what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

static inline void Sleep(int64_t nanoseconds) {
  const struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  nanosleep(&time, NULL);
}

// Waits for the line with which all competitors are started at once.
static inline void AwaitStart(void) {
  char line[2];
  puts("ready");
  fflush(stdout);
  Must((int)read(0, line, 1), "read");
}

#endif  // HOLDFAST_BENCH_COMMON_H_
