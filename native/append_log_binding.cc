#include "append_log_binding.h"

#include <cerrno>
#include <memory>
#include <string>

#include "append_log.h"
#include "binding.h"
#include "pool_worker.h"

namespace holdfast {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

enum LogFlag : uint32_t { kLogRefusesParentLinks = 1, kLogOfAnyOwner = 2 };

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

  void Run() {
    error = log == nullptr ? Error::FromSystem(EBADF, "write")
                           : log->Append(lines, without_lock, &appended);
  }

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
  const uint32_t flags = NumberAt(info, 2);
  AppendLogRequest request;
  request.path = StringAt(info, 0);
  request.mode = NumberAt(info, 1);
  request.parents =
      (flags & kLogRefusesParentLinks) != 0 ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
  request.trust_any_owner = (flags & kLogOfAnyOwner) != 0;
  auto log = std::make_shared<AppendLog>(std::move(request));
  return PoolWorker<Opening>::Start(info.Env(), {std::move(log), &AddonData::Of(info), {}});
}

// (id, lines, withoutLock)
Appending AppendingOf(const CallbackInfo& info) {
  Appending appending;
  appending.log = AddonData::Of(info).FindLog(IdAt(info, 0));
  appending.lines = StringAt(info, 1);
  appending.without_lock = FlagAt(info, 2);
  return appending;
}

Value AppendToLog(const CallbackInfo& info) {
  return PoolWorker<Appending>::Start(info.Env(), AppendingOf(info));
}

Value AppendToLogSync(const CallbackInfo& info) {
  Appending appending = AppendingOf(info);
  appending.Run();
  return appending.ToValue(info.Env());
}

Value CloseLog(const CallbackInfo& info) {
  AddonData::Of(info).RemoveLog(IdAt(info, 0));
  return info.Env().Undefined();
}

}  // namespace

void ExportAppendLogFunctions(Napi::Object exports, AddonData* data) {
  using namespace arguments;
  Export<OpenLog>(exports, "openLog", data, kText + kNumber + kNumber);
  Export<AppendToLog>(exports, "appendToLog", data, kId + kText + kFlag);
  Export<AppendToLogSync>(exports, "appendToLogSync", data, kId + kText + kFlag);
  Export<CloseLog>(exports, "closeLog", data, kId);
}

}  // namespace holdfast
