#include <mutex>

#include "win.h"

namespace holdfast {

namespace {

// Closed by the end of the process, which is what ends the others.
HANDLE job = nullptr;
std::mutex job_mutex;

Error MakeJob(HANDLE* made) {
  const HANDLE created = CreateJobObjectW(nullptr, nullptr);
  if (created == nullptr) return LastError("CreateJobObject");
  Handle owned = Owned(created);
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {};
  // Nothing may break away. libuv puts this process and its children into a job of its own that lets everything break
  // away: that one then lies inside ours, and whoever leaves it is still in ours.
  limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
  if (!SetInformationJobObject(created, JobObjectExtendedLimitInformation, &limits,
                               sizeof(limits))) {
    return LastError("SetInformationJobObject");
  }
  // The process itself, and not each child once it exists: a child could have started others by then.
  if (!AssignProcessToJobObject(created, GetCurrentProcess())) {
    return LastError("AssignProcessToJobObject");
  }
  *made = HandleOf(owned.Detach());
  return {};
}

}  // namespace

Error BindDescendants() {
  const std::lock_guard<std::mutex> guard(job_mutex);
  return job != nullptr ? Error{} : MakeJob(&job);
}

Error CountDescendants(uint32_t* count) {
  const std::lock_guard<std::mutex> guard(job_mutex);
  JOBOBJECT_BASIC_ACCOUNTING_INFORMATION accounting;
  // Without a job of ours that would be about whatever job this process is in.
  if (job == nullptr) return FromWin32(ERROR_INVALID_HANDLE, "QueryInformationJobObject");
  if (!QueryInformationJobObject(job, JobObjectBasicAccountingInformation, &accounting,
                                 sizeof(accounting), nullptr)) {
    return LastError("QueryInformationJobObject");
  }
  *count = accounting.ActiveProcesses - 1;
  return {};
}

}  // namespace holdfast
