// Waits for NOTE_FUNLOCK, which kqueue(2) posts when a flock on the file is given up, by flock(2) or by the last
// close(2), a dying process's among them; then tries. No signal is needed to end the wait: EVFILT_USER does.
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>

#include "../posix/posix.h"

namespace holdfast {

namespace {

// A notification that this kernel or volume does not send is made up for by a try now and then.
constexpr time_t kSafetySeconds = 1;
constexpr uintptr_t kInterruptEvent = 1;

class EventLockWait : public LockWait {
 public:
  EventLockWait(NativeHandle file, LockMode mode, Handle queue)
      : file_(file), mode_(mode), queue_(std::move(queue)) {}

  WaitResult Run(Error* error) override {
    // EV_CLEAR keeps an unlock that comes between a failed try and the wait for the wait.
    while (!interrupted_) {
      bool granted = false;
      *error = TryLock(file_, mode_, &granted);
      if (!error->ok()) return WaitResult::kFailed;
      if (granted) return WaitResult::kGranted;
      struct kevent event;
      const struct timespec timeout = {kSafetySeconds, 0};
      const int count = RetryOnInterrupt(
          [&] { return kevent(DescriptorOf(queue_.get()), nullptr, 0, &event, 1, &timeout); });
      if (count < 0) {
        *error = LastError("kevent");
        return WaitResult::kFailed;
      }
    }
    return WaitResult::kInterrupted;
  }

  void Interrupt() override {
    interrupted_ = true;
    struct kevent trigger;
    EV_SET(&trigger, kInterruptEvent, EVFILT_USER, 0, NOTE_TRIGGER, 0, nullptr);
    kevent(DescriptorOf(queue_.get()), &trigger, 1, nullptr, 0, nullptr);
  }

 private:
  const NativeHandle file_;
  const LockMode mode_;
  const Handle queue_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace

std::unique_ptr<LockWait> NewLockWait(NativeHandle file, LockMode mode, FileSystemClass kind,
                                      LockSlot /*slot*/) {
  if (kind != FileSystemClass::kLocal) return nullptr;
  Handle queue(kqueue());  // never inherited by a child: kqueue(2)
  if (!queue.valid()) return nullptr;
  struct kevent changes[2];
  EV_SET(&changes[0], static_cast<uintptr_t>(file), EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_FUNLOCK,
         0, nullptr);
  EV_SET(&changes[1], kInterruptEvent, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, nullptr);
  if (kevent(DescriptorOf(queue.get()), changes, 2, nullptr, 0, nullptr) != 0) return nullptr;
  return std::make_unique<EventLockWait>(file, mode, std::move(queue));
}

}  // namespace holdfast
