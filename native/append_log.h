// A file of lines that many processes append to, each of them whole.
#ifndef HOLDFAST_APPEND_LOG_H_
#define HOLDFAST_APPEND_LOG_H_

#include <cstdint>
#include <mutex>
#include <string>

#include "platform.h"

namespace holdfast {

struct AppendLogRequest {
  std::string path;  // absolute
  ParentPolicy parents = ParentPolicy::kTrust;
  bool trust_any_owner = false;
  uint32_t mode = kPrivateMode;  // of a file that is made
};

// Keeps the file open, so that lines can also be written when no descriptor is to be had any more. Append() may be called by
// any thread, once it is open.
class AppendLog {
 public:
  explicit AppendLog(AppendLogRequest request) : request_(std::move(request)) {}
  AppendLog(const AppendLog&) = delete;
  AppendLog& operator=(const AppendLog&) = delete;
  ~AppendLog() = default;

  // Opens the file, making it if there is none, with the checks of a lock file.
  Error Open();

  // Appends all of `lines`, which ends with a newline, or nothing. `*appended` is false when another thread or process is
  // appending; with `without_lock` another process is not waited for, and another thread is EBUSY: then a line that the disk has no room for may be cut
  // short.
  Error Append(const std::string& lines, bool without_lock, bool* appended);

  // Whether another machine may have to answer.
  bool remote() const { return remote_; }

 private:
  Error OpenOrCreate(Handle* file, FileIdentity* identity) const;
  Error AppendTo(NativeHandle file, bool locked, const std::string& lines) const;
  // Whether the name leads to the open file.
  bool IsInPlace() const;
  void FollowName();

  const AppendLogRequest request_;
  std::mutex mutex_;  // of what follows
  Directory directory_;
  std::string name_;
  Handle file_;
  FileIdentity identity_;
  bool remote_ = false;
};

}  // namespace holdfast

#endif  // HOLDFAST_APPEND_LOG_H_
