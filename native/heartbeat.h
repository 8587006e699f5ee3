#ifndef HOLDFAST_HEARTBEAT_H_
#define HOLDFAST_HEARTBEAT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "lock_directory.h"
#include "worker_threads.h"

namespace holdfast {

// Refreshes the directories of held locks from threads of its own, so that an event loop that is blocked, for however long,
// does not make its holder look dead. Each device has a thread, so that one that does not answer holds up no other.
class Heartbeat {
 public:
  // `on_loss` is told, from any thread and once, the id of a lock whose directory is ours no longer.
  Heartbeat(WorkerThreads* threads, std::function<void(uint64_t)> on_loss);

  // Refreshes the directory of `held` every `interval` until it is taken out or lost.
  Error Add(uint64_t id, const std::shared_ptr<HeldLock>& held, std::chrono::milliseconds interval);
  void Remove(uint64_t id, const HeldLock& held);

 private:
  class Beats;

  WorkerThreads& threads_;
  const std::function<void(uint64_t)> on_loss_;
  std::unordered_map<uint64_t, std::shared_ptr<Beats>> beats_;
};

}  // namespace holdfast

#endif  // HOLDFAST_HEARTBEAT_H_
