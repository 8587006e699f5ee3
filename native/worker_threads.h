#ifndef HOLDFAST_WORKER_THREADS_H_
#define HOLDFAST_WORKER_THREADS_H_

#include <memory>
#include <mutex>
#include <vector>

#include "platform.h"

namespace holdfast {

// Something that may block, run in a thread of its own.
class Work {
 public:
  virtual ~Work() = default;
  virtual void Run() = 0;
  // Called in the same thread after Run(), when the thread already counts as free: whoever is told of the result here
  // and starts the next work gets this thread.
  virtual void Publish() = 0;
  // Makes Run() return soon; called from another thread, any number of times.
  virtual void Interrupt() = 0;
};

// The threads of one environment. They are never those of libuv's pool, which four waits would fill. A thread is kept
// for the next work while few are idle.
class WorkerThreads {
 public:
  // More would not help: beyond this many, waits share one thread that tries on a timer.
  static constexpr size_t kMaxThreads = 128;
  // And so many besides for work that is no wait.
  static constexpr size_t kMaxOtherThreads = 32;

  WorkerThreads();
  ~WorkerThreads();
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  // The error is EAGAIN when there are `limit` threads already, or the system's when it makes no more.
  Error Start(std::shared_ptr<Work> work, size_t limit = kMaxThreads);

  // The same, but with so many threads already the work is done as soon as one of them is free. Waits for locks take no part
  // in that, and leave some threads to work that ends by itself. An error means that no thread can be made.
  Error StartOrQueue(std::shared_ptr<Work> work);
  // Has the work done as soon as a thread is free; false if there is none that could be.
  bool Queue(std::shared_ptr<Work> work);

  // Interrupts and joins every thread. One that does not come back from the kernel (a dead network mount) is abandoned
  // after a while: it owns all that it touches. Nothing can be started afterwards.
  void Stop();

 private:
  struct Slot;
  struct Shared;

  static void RunSlot(const std::shared_ptr<Shared>& shared, Slot* slot);
  Error AddThread(std::shared_ptr<Work> work);
  void JoinFinished();

  // Shared with the threads, so that it lives until an abandoned one has ended.
  std::shared_ptr<Shared> shared_;
};

}  // namespace holdfast

#endif  // HOLDFAST_WORKER_THREADS_H_
