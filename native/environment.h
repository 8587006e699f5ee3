#ifndef HOLDFAST_ENVIRONMENT_H_
#define HOLDFAST_ENVIRONMENT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "attempt.h"
#include "heartbeat.h"
#include "waiter.h"
#include "worker_threads.h"

namespace holdfast {

// All native state of one JavaScript environment (the main thread or a worker). Its methods belong to that thread,
// except that `post` is called from any.
class Environment {
 public:
  using Id = uint64_t;
  // Brings an id to the environment's thread, which then calls Deliver() with it.
  using Post = std::function<void(Id)>;

  Environment(const std::string& host, Post post);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // One whole try. Results are in the accessors below until the next call.
  Outcome Acquire(const AcquireOptions& options);
  // The same in another thread; Deliver() tells the outcome.
  Id StartAcquire(AcquireOptions options);
  // Touches the directory, so that Acquire() no longer says kUnseen.
  Id StartTouch(const LockRequest& request);

  // Waits with the file that a busy Acquire() kept under `id`, for a lock of `claimant`. Deliver(id) says kGranted, kFailed,
  // kStale when the lock file is no longer the one that was waited for, or kGuarded: then StartComplete() is due. So it is on
  // a remote file system as well.
  Outcome StartWait(Id id, const Claimant& claimant);
  // Blocks until Deliver(id) would have something to tell, or the time has passed. True when the wait is over.
  bool AwaitWait(Id id, uint32_t milliseconds);
  // As Deliver(id), but enters a lock that the wait could not enter at once.
  // kGuarded keeps it for another call, or for StartComplete(), which has all the patience.
  Outcome Complete(Id id, const Claimant& claimant, const Patience& patience);
  Id StartComplete(Id id, const Claimant& claimant);
  // Ends the wait, or drops the file that was kept. A grant that comes later is given back by its thread.
  void Cancel(Id id);
  // Cancelled waits whose threads have not ended yet; each is interrupted again.
  size_t InterruptCancelled();
  // A look at what is waited for: kBusy, kStale when the name leads elsewhere, or kOverdue.
  Outcome LookAtWait(Id id);
  // Between two looks.
  std::chrono::milliseconds LookIntervalOf(Id id) const;
  // Tries to take the lock from the holder that the wait has seen to be hung. The wait goes on.
  Outcome TakeOver(Id id, AcquireOptions options, const Patience& patience);
  Id StartTakeOver(Id id, AcquireOptions options);
  // Returns true if this environment holds a lock that conflicts with `wanted`, or was granted one that it does not know of yet.
  bool Holds(const LockFile& wanted) const;
  // The file that is held, kept or waited for under `id`, or null.
  const LockFile* FindFile(Id id) const;
  // What the file under `id` (held, kept or waited for) says of its holder.
  bool ReadHolderOf(Id id, DecodedRecord* record);

  // The key that Acquire() told when it was busy.
  std::string KeyOfLock(Id id) const;

  Outcome Release(Id id);
  // Gives up our part of a lock whose descriptor a child process inherited.
  Outcome ReleaseToHeirs(Id id);
  // `untold`: nobody was told of the grant, so that what it found is the next holder's to find.
  Id StartRelease(Id id, bool untold);
  // kGranted: still ours; kStale: lost.
  Outcome Verify(Id id);
  Id StartVerify(Id id);
  // Shows a sign of life of a holder with a ttl: outcomes are as of Verify().
  Outcome ShowLife(Id id);
  Id StartShowLife(Id id);
  // The same for one that comes late; waits for the guard as long as it takes.
  Id StartShowLateLife(Id id);
  const HeldLock* FindHeld(Id id) const;
  // For a commit in another thread, which keeps the lock file open whatever becomes of the lock.
  std::shared_ptr<const HeldLock> ShareHeld(Id id) const;

  // Claims the directory that goes with a held lock (lock_directory.h): kGranted, kBusy or kFailed.
  Outcome Claim(Id id, const DirectoryRules& rules);
  Id StartClaim(Id id, const DirectoryRules& rules);
  // Keeps a claimed directory fresh. Deliver(id) tells when it is lost: kStale when somebody else has it, else kFailed.
  Outcome StartHeartbeat(Id id, std::chrono::milliseconds interval);
  // kBusy: a process of either kind would find the lock taken; else kGranted.
  Outcome Check(const LockRequest& request, const DirectoryRules& rules);
  Id StartCheck(const LockRequest& request, const DirectoryRules& rules);

  // While callers wait for a key, Acquire() says kQueued to others.
  void SetQueued(const std::string& key, bool queued);

  // Looks at the lock in another thread; result_inspection() has the answer.
  Id StartInspect(const LockRequest& request);

  // Takes the outcome of what was started under `id`. False when it was cancelled meanwhile.
  bool Deliver(Id id, Outcome* outcome);

  // Clears and closes every held lock, ends every wait and thread. Idempotent.
  void Close();

  Id result_id() const { return result_id_; }
  const HeldLock* result_held() const { return FindHeld(result_id_); }
  const std::string& result_key() const { return result_key_; }
  const Inspection& result_inspection() const { return result_inspection_; }
  const Error& last_error() const { return last_error_; }
  const std::string& start_token() const { return self_.start_token; }

 private:
  class Job;
  // `ShowLife` or `IsStillOurs`.
  using LookAtHeld = Error (*)(const HeldLock&, bool* ours);
  Outcome LookAt(Id id, LookAtHeld look);
  Id StartLookAt(Id id, LookAtHeld look);
  Record ClaimFor(const Claimant& claimant) const;
  Outcome Accept(Attempt attempt, bool keep_file);
  Id StartJob(std::function<Attempt(const Patience&)> body, bool keep_file = false);
  Outcome Fail(Error error);
  Outcome Conclude(Error error);
  std::shared_ptr<HeldLock> TakeHeld(Id id);
  // Takes a wait that is over from the list; the file of a guarded one is then kept for Complete().
  Outcome EndWait(Id id);

  Record self_;  // who we are, as a record tells it
  Post post_;
  // Shared with threads, which may be abandoned.
  std::shared_ptr<FileSystems> file_systems_;
  WorkerThreads threads_;
  Waiter waiter_;
  Heartbeat heartbeat_;
  Id last_id_ = 0;
  bool closed_ = false;

  // Shared with a look at the lock in another thread.
  std::unordered_map<Id, std::shared_ptr<HeldLock>> held_;
  std::unordered_map<Id, LockFile> kept_;     // busy, for a wait to come
  std::unordered_map<Id, LockFile> guarded_;  // granted by the kernel, to be entered
  std::unordered_map<Id, std::shared_ptr<Wait>> waits_;
  std::vector<std::shared_ptr<Wait>> cancelled_;
  std::unordered_map<Id, std::shared_ptr<Job>> jobs_;
  KeySet queued_;

  Id result_id_ = 0;
  std::string result_key_;
  Inspection result_inspection_;
  Error last_error_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENVIRONMENT_H_
