#include "append_log_binding.h"

#include <memory>
#include <string>

#include "addon_data.h"
#include "append_log.h"
#include "binding.h"
#include "job_worker.h"

namespace holdfast {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

enum LogFlag : uint32_t { kRefuseParentLinks = 1, kAnyOwner = 2 };

uint64_t IdOf(const CallbackInfo& info) {
  return static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
}

// The open file's number, or what went wrong.
struct Opening {
  std::shared_ptr<AppendLog> log;
  AddonData* data;
  Error error;

  void Run() { error = log->Open(); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = Napi::Object::New(env);
    object.Set("ok", error.ok());
    if (error.ok()) {
      object.Set("id", static_cast<double>(data->AddLog(log)));
      object.Set("remote", log->remote());
    } else {
      object.Set("error", ErrorValueOf(env, error));
    }
    return object;
  }
};

struct Appending {
  std::shared_ptr<AppendLog> log;
  std::string lines;
  bool without_lock = false;
  bool appended = false;
  Error error;

  void Run() { error = log->Append(lines, without_lock, &appended); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = Napi::Object::New(env);
    object.Set("ok", error.ok());
    object.Set("appended", appended);
    if (!error.ok()) object.Set("error", ErrorValueOf(env, error));
    return object;
  }
};

// (path, mode, flags)
Value OpenLog(const CallbackInfo& info) {
  const uint32_t flags = info[2].As<Napi::Number>().Uint32Value();
  AppendLogRequest request;
  request.path = info[0].As<Napi::String>().Utf8Value();
  request.mode = info[1].As<Napi::Number>().Uint32Value();
  request.parents =
      (flags & kRefuseParentLinks) != 0 ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
  request.trust_any_owner = (flags & kAnyOwner) != 0;
  auto log = std::make_shared<AppendLog>(std::move(request));
  return JobWorker<Opening>::Start(info.Env(), {std::move(log), &AddonData::Of(info), {}});
}

// (id, lines, withoutLock)
Appending AppendingOf(const CallbackInfo& info) {
  Appending appending;
  appending.log = AddonData::Of(info).FindLog(IdOf(info));
  appending.lines = info[1].As<Napi::String>().Utf8Value();
  appending.without_lock = info[2].As<Napi::Boolean>();
  return appending;
}

Value AppendToLog(const CallbackInfo& info) {
  return JobWorker<Appending>::Start(info.Env(), AppendingOf(info));
}

Value AppendToLogSync(const CallbackInfo& info) {
  Appending appending = AppendingOf(info);
  appending.Run();
  return appending.ToValue(info.Env());
}

Value CloseLog(const CallbackInfo& info) {
  AddonData::Of(info).RemoveLog(IdOf(info));
  return info.Env().Undefined();
}

}  // namespace

void ExportAppendLogFunctions(Napi::Object exports, AddonData* data) {
  Export<OpenLog>(exports, "openLog", data);
  Export<AppendToLog>(exports, "appendToLog", data);
  Export<AppendToLogSync>(exports, "appendToLogSync", data);
  Export<CloseLog>(exports, "closeLog", data);
}

}  // namespace holdfast
