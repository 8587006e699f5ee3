#ifndef HOLDFAST_JOB_WORKER_H_
#define HOLDFAST_JOB_WORKER_H_

#include <napi.h>

#include <utility>

namespace holdfast {

// Runs a job in libuv's pool, which is for what comes to an end by itself, unlike a wait for a lock. Its outcome is what
// ToValue() makes of it.
template <typename Job>
class JobWorker : public Napi::AsyncWorker {
 public:
  // `keep`: an object that the job reads from, if any. It stays where it is for as long as somebody refers to it.
  static Napi::Value Start(Napi::Env env, Job job, Napi::Value keep = {}) {
    auto* worker = new JobWorker(env, std::move(job), keep);
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();  // and deletes itself afterwards
    return promise;
  }

 protected:
  void Execute() override { job_.Run(); }
  void OnOK() override { deferred_.Resolve(job_.ToValue(Env())); }

 private:
  JobWorker(Napi::Env env, Job job, Napi::Value keep)
      : Napi::AsyncWorker(env), job_(std::move(job)), deferred_(Napi::Promise::Deferred::New(env)) {
    if (!keep.IsEmpty() && keep.IsObject()) kept_ = Napi::Persistent(keep.As<Napi::Object>());
  }

  Job job_;
  Napi::ObjectReference kept_;
  const Napi::Promise::Deferred deferred_;
};

}  // namespace holdfast

#endif  // HOLDFAST_JOB_WORKER_H_
