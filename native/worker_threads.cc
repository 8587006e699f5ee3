#include "worker_threads.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace holdfast {

namespace {

constexpr size_t kMaxIdleThreads = 2;
// A thread that is to stop is interrupted again this often, and abandoned after so many times.
constexpr std::chrono::milliseconds kInterruptInterval(1);
constexpr int kMaxInterrupts = 250;

}  // namespace

struct WorkerThreads::Slot {
  Thread thread;
  std::shared_ptr<Work> work;
  bool idle = false;
  bool finished = false;
  bool abandoned = false;
};

struct WorkerThreads::Shared {
  std::mutex mutex;
  Condition changed;
  std::vector<std::unique_ptr<Slot>> slots;
  bool stopping = false;

  size_t CountIdle() const {
    return static_cast<size_t>(
        std::count_if(slots.begin(), slots.end(), [](const auto& slot) { return slot->idle; }));
  }
};

WorkerThreads::WorkerThreads() : shared_(std::make_shared<Shared>()) {}

WorkerThreads::~WorkerThreads() { Stop(); }

void WorkerThreads::RunSlot(const std::shared_ptr<Shared>& shared, Slot* slot) {
  std::unique_lock<std::mutex> lock(shared->mutex);
  for (;;) {
    shared->changed.wait(lock, [&] { return slot->work != nullptr || shared->stopping; });
    if (slot->work == nullptr) break;
    // The slot keeps its own reference while the work runs, so that Stop() can interrupt it.
    std::shared_ptr<Work> work = slot->work;
    lock.unlock();
    work->Run();
    lock.lock();
    slot->work.reset();
    const bool leaving = shared->stopping || shared->CountIdle() >= kMaxIdleThreads;
    slot->idle = !leaving;
    lock.unlock();
    work->Publish();
    // Its end may take long, and must not happen under the mutex.
    work.reset();
    lock.lock();
    if (leaving) break;
  }
  slot->idle = false;
  slot->finished = true;
  shared->changed.notify_all();
}

Error WorkerThreads::Start(std::shared_ptr<Work> work, size_t limit) {
  JoinFinished();
  std::lock_guard<std::mutex> guard(shared_->mutex);
  if (shared_->stopping) return Error::FromSystem(ECANCELED, "pthread_create");
  auto& slots = shared_->slots;
  const auto idle =
      std::find_if(slots.begin(), slots.end(), [](const auto& slot) { return slot->idle; });
  if (idle != slots.end()) {
    (*idle)->idle = false;
    (*idle)->work = std::move(work);
    shared_->changed.notify_all();
    return {};
  }
  if (slots.size() >= limit) return Error::FromSystem(EAGAIN, "pthread_create");
  auto slot = std::make_unique<Slot>();
  slot->work = std::move(work);
  Error error =
      slot->thread.Start([shared = shared_, pointer = slot.get()] { RunSlot(shared, pointer); });
  if (error.ok()) slots.push_back(std::move(slot));
  return error;
}

void WorkerThreads::JoinFinished() {
  std::vector<std::unique_ptr<Slot>> finished;
  {
    std::lock_guard<std::mutex> guard(shared_->mutex);
    auto& slots = shared_->slots;
    const auto end = std::stable_partition(slots.begin(), slots.end(), [](const auto& slot) {
      return !slot->finished || slot->abandoned;
    });
    std::move(end, slots.end(), std::back_inserter(finished));
    slots.erase(end, slots.end());
  }
  for (const auto& slot : finished) slot->thread.Join();
}

void WorkerThreads::Stop() {
  std::unique_lock<std::mutex> lock(shared_->mutex);
  shared_->stopping = true;
  shared_->changed.notify_all();
  const auto all_finished = [&] {
    return std::all_of(shared_->slots.begin(), shared_->slots.end(),
                       [](const auto& slot) { return slot->finished || slot->abandoned; });
  };
  for (int times = 0; times < kMaxInterrupts && !all_finished(); times++) {
    std::vector<std::shared_ptr<Work>> running;
    for (const auto& slot : shared_->slots) {
      if (slot->work != nullptr) running.push_back(slot->work);
    }
    lock.unlock();
    for (const auto& work : running) work->Interrupt();
    running.clear();
    lock.lock();
    shared_->changed.wait_for(lock, kInterruptInterval, all_finished);
  }
  // An abandoned thread still uses its slot, and the list with it.
  for (const auto& slot : shared_->slots) {
    if (slot->finished || slot->abandoned) continue;
    slot->abandoned = true;
    slot->thread.Abandon();
  }
  lock.unlock();
  JoinFinished();
}

}  // namespace holdfast
