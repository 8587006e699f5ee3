#include "waiter.h"

#include <algorithm>
#include <limits>

#include "path.h"

namespace holdfast {

namespace {

using std::chrono::milliseconds;

// Between two tries where the kernel does not wake us.
constexpr milliseconds kFirstDelay(1);
constexpr milliseconds kLastDelay(50);

milliseconds NextDelay(milliseconds delay) { return std::min(delay * 2, kLastDelay); }

}  // namespace

Wait::Wait(LockFile file, Record claim, std::function<void()> on_done)
    : file_(std::move(file)),
      claim_(std::move(claim)),
      kernel_wait_(file_.file.valid()
                       ? NewLockWait(file_.file.get(), file_.mode, file_.file_system, file_.slot)
                       : nullptr),
      on_done_(std::move(on_done)),
      polling_(kernel_wait_ == nullptr),
      last_seen_(file_.found) {
  Sighting sighting;
  DecodedRecord record;
  if (file_.found.record.ttl == 0 || !See(file_, &sighting, &record).ok()) return;
  observation_.Add(sighting);
}

// A grant that nobody has taken is one that nobody was told of.
Wait::~Wait() { GiveBackGrant(); }

void Wait::GiveBackGrant() {
  if (!file_.file.valid()) return;
  if (state_ == State::kEntered) {
    static_cast<void>(GiveBackUntold(Conclude().held));
  } else if (state_ == State::kGranted) {
    GiveBack(std::move(file_));
  }
}

void Wait::Run() {
  if (kernel_wait_ == nullptr) {
    PollUntilDone();
    return;
  }
  switch (kernel_wait_->Run(&error_)) {
    case WaitResult::kGranted:
      result_ = State::kGranted;
      break;
    case WaitResult::kFailed:
      result_ = State::kFailed;
      break;
    case WaitResult::kInterrupted:
      break;
    case WaitResult::kUnable:
      PollUntilDone();
      break;
  }
}

void Wait::PollUntilDone() {
  milliseconds delay = kFirstDelay;
  while (!Poll()) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, delay, [&] { return interrupted_; });
    delay = NextDelay(delay);
  }
}

bool Wait::Poll() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    polling_ = true;
    if (interrupted_) return true;
  }
  if (!file_.file.valid()) return !IsStillLeased();
  bool granted = false;
  error_ = TryLock(file_.file.get(), file_.mode, &granted, file_.slot);
  if (!error_.ok()) {
    result_ = State::kFailed;
  } else if (granted) {
    result_ = State::kGranted;
  } else if (std::chrono::steady_clock::now() >= next_look_) {
    LookWhilePolling();
  }
  return result_ != State::kWaiting;
}

bool Wait::IsStillLeased() {
  Handle file;
  FileStatus status;
  const LockLocation& location = file_.location;
  if (IsLeased(OpenLockFile(location.directory, location.name, &file, &status))) return true;
  // Whatever it is by now, the next attempt finds out.
  result_ = State::kMoved;
  return false;
}

void Wait::LookWhilePolling() {
  bool in_place = true;
  if (IsInPlace(file_, &in_place).ok() && !in_place) result_ = State::kMoved;
  Sighting sighting;
  DecodedRecord record;
  const bool seen = See(file_, &sighting, &record).ok();
  std::lock_guard<std::mutex> guard(mutex_);
  if (seen) {
    last_seen_ = std::move(record);
    observation_.Add(sighting);
  }
  next_look_ = std::chrono::steady_clock::now() + observation_.Interval();
}

void Wait::Publish() {
  std::lock_guard<std::mutex> guard(mutex_);
  if (state_ == State::kWaiting && result_ != State::kWaiting) {
    state_ = result_;
    // Told first: whoever is told takes about as long to wake up as the lock takes to be entered, and then waits for the
    // mutex.
    on_done_();
    changed_.notify_all();
    if (state_ == State::kGranted && file_.file_system == FileSystemClass::kLocal) Enter();
  } else if (result_ == State::kGranted) {
    static_cast<void>(Unlock(file_.file.get(), file_.slot));
  }
  if (state_ != State::kEntered && state_ != State::kGranted) file_.file.Reset();
  finished_ = true;
  changed_.notify_all();
}

void Wait::Enter() {
  entered_ = std::chrono::steady_clock::now();
  Entry entry = Entry::kMoved;
  error_ = holdfast::Enter(file_, Patience::None(), &claim_, &previous_, &entry);
  if (error_.ok() && entry == Entry::kGuarded) return;
  state_ =
      !error_.ok() ? State::kFailed : (entry == Entry::kEntered ? State::kEntered : State::kMoved);
  if (state_ != State::kEntered) static_cast<void>(Unlock(file_.file.get(), file_.slot));
}

Attempt Wait::TakeAttempt() {
  std::lock_guard<std::mutex> guard(mutex_);
  return Conclude();
}

Attempt Wait::Conclude() {
  switch (state_) {
    case State::kEntered:
      return Granted(std::move(file_), claim_, std::move(previous_), entered_);
    case State::kGranted: {
      Attempt attempt = Attempt::Of(Outcome::kGuarded);
      attempt.busy = std::move(file_);
      return attempt;
    }
    case State::kFailed:
      return Attempt::Failure(WithPath(error_, file_.location.path));
    default:
      return Attempt::Of(Outcome::kStale);
  }
}

void Wait::Interrupt() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    interrupted_ = true;
    if (finished_) return;
    changed_.notify_all();
  }
  if (kernel_wait_ != nullptr) kernel_wait_->Interrupt();
}

void Wait::Cancel() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    GiveBackGrant();
    state_ = State::kCancelled;
  }
  Interrupt();
}

Wait::State Wait::Await(milliseconds timeout) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return state_ != State::kWaiting; });
  return state_;
}

Wait::State Wait::state() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return state_;
}

bool Wait::IsGranted() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return state_ == State::kEntered || state_ == State::kGranted;
}

bool Wait::IsFinished() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return finished_;
}

Wait::View Wait::Look() {
  // Under the mutex, so that the thread does not close the file meanwhile.
  std::lock_guard<std::mutex> guard(mutex_);
  View view;
  if (!polling_ && file_.file.valid()) {
    if (!IsInPlace(file_, &view.in_place).ok()) view.in_place = true;
    Sighting sighting;
    DecodedRecord record;
    if (See(file_, &sighting, &record).ok()) observation_.Add(sighting);
  }
  view.overdue = observation_.IsOverdue();
  return view;
}

milliseconds Wait::look_interval() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return observation_.Interval();
}

Sighting Wait::seen() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return observation_.last();
}

bool Wait::ReadHolder(DecodedRecord* record) const {
  std::lock_guard<std::mutex> guard(mutex_);
  if (polling_) {
    *record = last_seen_;
    return true;
  }
  return file_.file.valid() && holdfast::ReadHolder(file_.file.get(), record).ok();
}

// Tries all its waits in turn, the more seldom the longer nothing happens, and ends with the last of them.
class Waiter::SharedThread : public Work {
 public:
  // False when the thread is about to end: the wait needs a new one.
  bool Add(std::shared_ptr<Wait> wait) {
    std::lock_guard<std::mutex> guard(mutex_);
    if (ended_) return false;
    waits_.push_back(std::move(wait));
    return true;
  }

  void Run() override {
    milliseconds delay = kFirstDelay;
    std::unique_lock<std::mutex> lock(mutex_);
    while (!waits_.empty() && !interrupted_) {
      const std::vector<std::shared_ptr<Wait>> waits = waits_;
      lock.unlock();
      std::vector<std::shared_ptr<Wait>> done;
      for (const auto& wait : waits) {
        if (wait->Poll()) done.push_back(wait);
      }
      for (const auto& wait : done) wait->Publish();
      lock.lock();
      for (const auto& wait : done) waits_.erase(std::find(waits_.begin(), waits_.end(), wait));
      delay = done.empty() ? NextDelay(delay) : kFirstDelay;
      if (!waits_.empty()) changed_.wait_for(lock, delay, [&] { return interrupted_; });
    }
    ended_ = true;
  }

  void Publish() override {}

  void Interrupt() override {
    std::lock_guard<std::mutex> guard(mutex_);
    interrupted_ = true;
    for (const auto& wait : waits_) wait->Interrupt();
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  Condition changed_;
  std::vector<std::shared_ptr<Wait>> waits_;
  bool interrupted_ = false;
  bool ended_ = false;
};

Error Waiter::Start(const std::shared_ptr<Wait>& wait) {
  if (threads_.Start(wait).ok()) return {};
  if (shared_thread_ != nullptr && shared_thread_->Add(wait)) return {};
  shared_thread_ = std::make_shared<SharedThread>();
  shared_thread_->Add(wait);
  // The limit is for waits, of which this thread serves all that are above it.
  Error error = threads_.Start(shared_thread_, std::numeric_limits<size_t>::max());
  // Without a thread behind it, what the next caller adds to it would never be tried.
  if (!error.ok()) shared_thread_.reset();
  return error;
}

}  // namespace holdfast
