// Locks and unlocks, uncontended: cycles <plain|same> <directory> <files> <milliseconds or 0> <cycles or 0> [wait]
//
// Over so many targets in turn, in an order that does not follow that of the directory. With `wait` it starts at a line on the
// standard input.
#include "lock.h"

int main(int count, char** arguments) {
  if (count < 6) return 2;
  const int as_holdfast = strcmp(arguments[1], "same") == 0;
  const int files = atoi(arguments[3]);
  const int64_t span = atoll(arguments[4]) * 1000000;
  const int64_t cycles = atoll(arguments[5]);
  if (count > 6) AwaitStart();

  const int64_t start = Now();
  int64_t done = 0;
  int64_t now = start;
  while (span > 0 ? now - start < span : done < cycles) {
    char name[64];
    snprintf(name, sizeof(name), "target-%lld", (long long)(done * 7919 % files));
    const Place place = PlaceOf(arguments[2], name);
    ReleaseLock(TakeLock(&place, as_holdfast), as_holdfast);
    done++;
    now = Now();
  }
  printf("{\"count\": %lld, \"nanoseconds\": %lld}\n", (long long)done, (long long)(now - start));
  return 0;
}
