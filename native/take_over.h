// Taking a lock over from a holder that named a ttl and has shown no sign of life for so long: it is hung, or stopped.
#ifndef HOLDFAST_TAKE_OVER_H_
#define HOLDFAST_TAKE_OVER_H_

#include <chrono>

#include "lock.h"

namespace holdfast {

// What one look at a lock that is taken shows of its holder.
struct Sighting {
  int64_t pid = 0;
  uint64_t token = 0;
  uint64_t ttl = 0;
  uint64_t epoch = 0;
  uint64_t modified = 0;  // the sign of life

  bool operator==(const Sighting& other) const {
    return pid == other.pid && token == other.token && ttl == other.ttl && epoch == other.epoch &&
           modified == other.modified;
  }
  // Only one that has named a ttl may be taken for hung.
  bool has_ttl() const { return pid != 0 && ttl != 0; }
};

Error See(const LockFile& lock_file, Sighting* sighting, DecodedRecord* record);

// What a waiter has seen so far. It counts its own time, and no clock of the holder's; and only time in which it was
// awake itself, so that a machine or a container that was suspended robs nobody.
class Observation {
 public:
  using Clock = std::chrono::steady_clock;

  // How long after a look the next one is due.
  std::chrono::milliseconds Interval() const;
  void Add(const Sighting& sighting, Clock::time_point now = Clock::now());
  // Whether the holder has shown no sign of life for its ttl.
  bool IsOverdue() const;
  const Sighting& last() const { return last_; }

 private:
  Sighting last_;
  Clock::time_point last_look_;
  Clock::duration silence_{0};
};

// Takes the lock over if its holder is still the one that was seen, and as silent. `file`, the lock file as it was opened
// and found taken, then is the new one's. An exclusive lock is then held and entered as `claim`; a shared one is still to
// be taken, where another file was put in place, and entered. `previous` is the robbed holder.
Error TakeOver(const Sighting& overdue, const Patience& patience, LockFile* file, Record* claim,
               DecodedRecord* previous, bool* taken);

}  // namespace holdfast

#endif  // HOLDFAST_TAKE_OVER_H_
