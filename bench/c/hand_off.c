// Takes turns with another process: hand_off <plain|same|thread> <directory> <turns> <hold ms> <spread ms> <pause ms>
//
// `thread`: another thread waits for the lock, and wakes this one, which sleeps as an event loop does. So it is for whatever
// waits without blocking the thread that asked.
//
// Prints when each turn began (the lock was had) and ended (just before its release).
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "lock.h"

static struct {
  const Place* place;
  sem_t asked;
  sem_t taken;
  int wake;
  int poll;
  Lock lock;
} waiting;

static void WakeUp(void) {
  const uint64_t one = 1;
  Must((int)write(waiting.wake, &one, sizeof(one)), "write");
}

static void* TakeWhenAsked(void* unused) {
  for (;;) {
    sem_wait(&waiting.asked);
    waiting.lock = LockAsHoldfast(waiting.place, WakeUp);
    sem_post(&waiting.taken);
  }
  return unused;
}

static void StartThread(const Place* place) {
  pthread_t thread;
  struct epoll_event event = {.events = EPOLLIN};
  waiting.place = place;
  sem_init(&waiting.asked, 0, 0);
  sem_init(&waiting.taken, 0, 0);
  waiting.wake = Must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  waiting.poll = Must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  Must(epoll_ctl(waiting.poll, EPOLL_CTL_ADD, waiting.wake, &event), "epoll_ctl");
  Must(-pthread_create(&thread, NULL, TakeWhenAsked, NULL), "pthread_create");
}

static Lock TakeInThread(void) {
  struct epoll_event event;
  uint64_t count;
  sem_post(&waiting.asked);
  Must(epoll_wait(waiting.poll, &event, 1, -1), "epoll_wait");
  Must((int)read(waiting.wake, &count, sizeof(count)), "read");
  sem_wait(&waiting.taken);
  return waiting.lock;
}

int main(int count, char** arguments) {
  if (count < 7) return 2;
  const int in_thread = strcmp(arguments[1], "thread") == 0;
  const int as_holdfast = in_thread || strcmp(arguments[1], "same") == 0;
  const Place place = PlaceOf(arguments[2], "target");
  const int turns = atoi(arguments[3]);
  const int64_t hold = atoll(arguments[4]) * 1000000;
  const int64_t spread = atoll(arguments[5]) * 1000000;
  const int64_t pause = atoll(arguments[6]) * 1000000;
  int64_t* times = calloc((size_t)turns * 2, sizeof(*times));
  srandom((unsigned int)getpid());
  if (in_thread) StartThread(&place);
  AwaitStart();

  for (int turn = 0; turn < turns; turn++) {
    const Lock lock = in_thread ? TakeInThread() : TakeLock(&place, as_holdfast);
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
