// Increments a number in a file under a lock: increments <plain|same> <directory> <increments>
#include "lock.h"

int main(int count, char** arguments) {
  if (count < 4) return 2;
  const int as_holdfast = strcmp(arguments[1], "same") == 0;
  const int increments = atoi(arguments[3]);
  const Place place = PlaceOf(arguments[2], "counter");
  char path[PATH_MAX];
  snprintf(path, sizeof(path), "%s/counter", arguments[2]);
  const int counter = Must(open(path, O_RDWR | O_CLOEXEC), "open");
  AwaitStart();

  const int64_t start = Now();
  for (int done = 0; done < increments; done++) {
    const Lock lock = TakeLock(&place, as_holdfast);
    char text[32];
    const int size = Must((int)pread(counter, text, sizeof(text) - 1, 0), "pread");
    text[size] = '\0';
    const int length = snprintf(text, sizeof(text), "%d", atoi(text) + 1);
    Must((int)pwrite(counter, text, (size_t)length, 0), "pwrite");
    ReleaseLock(lock, as_holdfast);
  }
  printf("{\"start\": %lld, \"end\": %lld}\n", (long long)start, (long long)Now());
  return 0;
}
