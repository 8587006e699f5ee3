// Work in libuv's pool, for what comes to an end by itself; waits for locks have threads of their own.
#ifndef HOLDFAST_POOL_WORKER_H_
#define HOLDFAST_POOL_WORKER_H_

#include <napi.h>

#include <utility>

namespace holdfast {

// Calls job.Run() in the pool and resolves a promise with job.ToValue(env).
template <typename Job>
class PoolWorker : public Napi::AsyncWorker {
 public:
  // `bytes`, if it is an object, is what the job reads: it stays where it is for as long as somebody refers to it.
  static Napi::Promise Start(Napi::Env env, Job job, Napi::Value bytes = {}) {
    auto* worker = new PoolWorker(env, std::move(job), bytes);
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();  // and deletes itself afterwards
    return promise;
  }

 protected:
  void Execute() override { job_.Run(); }
  void OnOK() override {
    // What the job has hold of is free again before anybody hears of its end.
    Napi::Value value;
    {
      const Job job = std::move(job_);
      value = job.ToValue(Env());
    }
    deferred_.Resolve(value);
  }

 private:
  PoolWorker(Napi::Env env, Job job, Napi::Value bytes)
      : Napi::AsyncWorker(env), job_(std::move(job)), deferred_(Napi::Promise::Deferred::New(env)) {
    if (!bytes.IsEmpty() && bytes.IsObject()) {
      bytes_ = Napi::Persistent(bytes.As<Napi::Object>());
    }
  }

  Job job_;
  Napi::ObjectReference bytes_;
  const Napi::Promise::Deferred deferred_;
};

}  // namespace holdfast

#endif  // HOLDFAST_POOL_WORKER_H_
