// Takes turns with another process: hand_off <plain|same> <directory> <turns> <hold ms> <spread ms> <pause ms>
//
// Prints when each turn began (the lock was had) and ended (just before its release).
#include "lock.h"

int main(int count, char** arguments) {
  if (count < 7) return 2;
  const int as_holdfast = strcmp(arguments[1], "same") == 0;
  const Place place = PlaceOf(arguments[2], "target");
  const int turns = atoi(arguments[3]);
  const int64_t hold = atoll(arguments[4]) * 1000000;
  const int64_t spread = atoll(arguments[5]) * 1000000;
  const int64_t pause = atoll(arguments[6]) * 1000000;
  int64_t* times = calloc((size_t)turns * 2, sizeof(*times));
  srandom((unsigned int)getpid());
  AwaitStart();

  for (int turn = 0; turn < turns; turn++) {
    const Lock lock = TakeLock(&place, as_holdfast);
    times[2 * turn] = Now();
    Sleep(hold + random() % spread);
    times[2 * turn + 1] = Now();
    ReleaseLock(lock, as_holdfast);
    Sleep(pause);
  }
  printf("{\"turns\": [");
  for (int turn = 0; turn < turns; turn++) {
    printf("%s[%lld, %lld]", turn == 0 ? "" : ", ", (long long)times[2 * turn],
           (long long)times[2 * turn + 1]);
  }
  puts("]}");
  free(times);
  return 0;
}
