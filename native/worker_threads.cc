#include "worker_threads.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>

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
  std::deque<std::shared_ptr<Work>> queued;
  bool stopping = false;

  // The methods are called under the mutex.
  bool GiveToIdle(std::shared_ptr<Work>* work) {
    const auto idle =
        std::find_if(slots.begin(), slots.end(), [](const auto& slot) { return slot->idle; });
    if (idle == slots.end()) return false;
    (*idle)->idle = false;
    (*idle)->work = std::move(*work);
    changed.notify_all();
    return true;
  }

  // False if no thread is at work that would come to it.
  bool AddToQueue(std::shared_ptr<Work>* work) {
    const bool will_be_served = std::any_of(slots.begin(), slots.end(), [](const auto& slot) {
      return slot->work != nullptr && !slot->abandoned;
    });
    if (will_be_served) queued.push_back(std::move(*work));
    return will_be_served;
  }

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
    const bool more = !shared->queued.empty() && !shared->stopping;
    if (more) {
      slot->work = std::move(shared->queued.front());
      shared->queued.pop_front();
    }
    const bool leaving = !more && (shared->stopping || shared->CountIdle() >= kMaxIdleThreads);
    slot->idle = !leaving && !more;
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
  if (shared_->GiveToIdle(&work)) return {};
  if (shared_->slots.size() >= limit) return Error::FromSystem(EAGAIN, "pthread_create");
  return AddThread(std::move(work));
}

Error WorkerThreads::StartOrQueue(std::shared_ptr<Work> work) {
  JoinFinished();
  std::lock_guard<std::mutex> guard(shared_->mutex);
  if (shared_->stopping) return Error::FromSystem(ECANCELED, "pthread_create");
  if (shared_->GiveToIdle(&work)) return {};
  const bool full = shared_->slots.size() >= kMaxThreads + kMaxOtherThreads;
  if (full && shared_->AddToQueue(&work)) return {};
  return AddThread(std::move(work));
}

bool WorkerThreads::Queue(std::shared_ptr<Work> work) {
  std::lock_guard<std::mutex> guard(shared_->mutex);
  return !shared_->stopping && (shared_->GiveToIdle(&work) || shared_->AddToQueue(&work));
}

// Under the mutex.
Error WorkerThreads::AddThread(std::shared_ptr<Work> work) {
  auto slot = std::make_unique<Slot>();
  slot->work = std::move(work);
  Error error =
      slot->thread.Start([shared = shared_, pointer = slot.get()] { RunSlot(shared, pointer); });
  if (error.ok()) shared_->slots.push_back(std::move(slot));
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
  // Ends outside of the mutex, as it may take long.
  const std::deque<std::shared_ptr<Work>> never_started = std::move(shared_->queued);
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
