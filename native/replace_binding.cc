#include "replace_binding.h"

#include <string>
#include <utility>

#include "addon_data.h"
#include "binding.h"
#include "job_worker.h"
#include "read_file.h"
#include "remove_file.h"
#include "replace.h"

namespace holdfast {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

// The steps that one call makes, as src/native.ts sets them.
enum StepFlag : uint32_t { kBegin = 1, kWrite = 2, kCommit = 4, kLastTry = 8 };

// In a thread that is being terminated no property can be read: the value is empty then, and has no type.
std::string StringOf(const Napi::Object& options, const char* name) {
  const Value value = options.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

bool FlagOf(const Napi::Object& options, const char* name) {
  const Value value = options.Get(name);
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

int64_t NumberOf(const Napi::Object& options, const char* name) {
  const Value value = options.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().Int64Value() : 0;
}

std::optional<uint32_t> OptionalNumberOf(const Napi::Object& options, const char* name) {
  const Value value = options.Get(name);
  if (!value.IsNumber()) return std::nullopt;
  return value.As<Napi::Number>().Uint32Value();
}

ParentPolicy ParentsOf(const Napi::Object& options) {
  return FlagOf(options, "refuseParentLinks") ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
}

ReplaceRequest RequestOf(const Napi::Object& options) {
  ReplaceRequest request;
  request.path = StringOf(options, "path");
  request.within = StringOf(options, "within");
  request.links = static_cast<TargetLinkPolicy>(NumberOf(options, "links"));
  request.parents = ParentsOf(options);
  request.split_hard_links = FlagOf(options, "splitHardLinks");
  request.create_only = FlagOf(options, "createOnly");
  request.mode = OptionalNumberOf(options, "mode");
  request.keep_mode = FlagOf(options, "keepMode");
  request.keep_owner = FlagOf(options, "keepOwner");
  request.keep_attributes = FlagOf(options, "keepXattr");
  request.keep_access_list = FlagOf(options, "keepAcl");
  request.durability = static_cast<Durability>(NumberOf(options, "durability"));
  request.copy_fallback = static_cast<CopyFallback>(NumberOf(options, "copyFallback"));
  request.journal_directory = StringOf(options, "journalDir");
  request.make_directories = FlagOf(options, "recursive");
  request.directory_mode = OptionalNumberOf(options, "dirMode");
  request.require_directory_mode = OptionalNumberOf(options, "requireDirMode");
  request.tighten_directory = OptionalNumberOf(options, "tightenDir");
  const Value expected = options.Get("expected");
  if (expected.IsString()) {
    request.expected = VersionOfText(expected.As<Napi::String>().Utf8Value());
  }
  return request;
}

Napi::Object ErrorValue(Napi::Env env, const ReplaceError& failure) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ok", failure.ok());
  object.Set("phase", failure.phase);
  object.Set("published", failure.published);
  object.Set("conflict", failure.conflict);
  object.Set("cancelled", failure.cancelled);
  object.Set("lost", failure.lost);
  object.Set("transient", failure.transient());
  object.Set("targetState", static_cast<double>(failure.target_state));
  object.Set("error", ErrorValueOf(env, failure.error));
  return object;
}

Napi::Object ResultValue(Napi::Env env, const ReplaceResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ok", true);
  object.Set("method", static_cast<double>(result.method));
  object.Set("durable", result.durable);
  object.Set("superseded", result.superseded);
  object.Set("keptMode", result.kept_mode);
  object.Set("keptOwner", result.kept_owner);
  object.Set("keptXattr", result.kept_attributes);
  object.Set("keptAcl", result.kept_access_list);
  object.Set("identity", VersionText(result.version));
  if (!result.fallback.ok()) object.Set("fallback", ErrorValueOf(env, result.fallback));
  return object;
}

struct Steps {
  std::shared_ptr<Replacement> replacement;
  uint32_t flags = 0;
  const char* data = nullptr;
  size_t size = 0;
  ReplaceError error;
  ReplaceResult result;

  void Run() {
    if ((flags & kBegin) != 0) error = replacement->Begin(size);
    if (error.ok() && (flags & kWrite) != 0) error = replacement->Write(data, size);
    if (error.ok() && (flags & kCommit) != 0)
      error = replacement->Commit((flags & kLastTry) != 0, &result);
  }

  Napi::Object ToValue(Napi::Env env) const {
    return error.ok() ? ResultValue(env, result) : ErrorValue(env, error);
  }
};

// (id, flags, bytes or undefined)
Steps StepsOf(const CallbackInfo& info) {
  Steps steps;
  steps.replacement = AddonData::Of(info).FindReplacement(
      static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
  steps.flags = info[1].As<Napi::Number>().Uint32Value();
  if (info[2].IsTypedArray()) {
    const auto bytes = info[2].As<Napi::Uint8Array>();
    steps.data = reinterpret_cast<const char*>(bytes.Data());
    steps.size = bytes.ByteLength();
  }
  return steps;
}

Value OpenReplacement(const CallbackInfo& info) {
  AddonData& data = AddonData::Of(info);
  const auto options = info[0].As<Napi::Object>();
  ReplaceRequest request = RequestOf(options);
  const auto lock = static_cast<Environment::Id>(NumberOf(options, "lock"));
  if (lock != 0) request.lock = data.environment().ShareHeld(lock);
  return Napi::Number::New(
      info.Env(),
      static_cast<double>(data.AddReplacement(std::make_shared<Replacement>(std::move(request)))));
}

Value ReplaceSteps(const CallbackInfo& info) {
  return JobWorker<Steps>::Start(info.Env(), StepsOf(info), info[2]);
}

Value ReplaceStepsSync(const CallbackInfo& info) {
  Steps steps = StepsOf(info);
  steps.Run();
  return steps.ToValue(info.Env());
}

Value CancelReplacement(const CallbackInfo& info) {
  AddonData::Of(info)
      .FindReplacement(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()))
      ->Cancel();
  return info.Env().Undefined();
}

Value CloseReplacement(const CallbackInfo& info) {
  AddonData::Of(info).RemoveReplacement(
      static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
  return info.Env().Undefined();
}

// ---- Reading ----

struct Reading {
  ReadRequest request;
  ReadOutcome outcome;
  Error error;

  void Run() { error = ReadRegularFile(request, &outcome); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = Napi::Object::New(env);
    object.Set("ok", error.ok());
    object.Set("exists", outcome.exists);
    if (!error.ok()) {
      object.Set("error", ErrorValueOf(env, error));
    } else if (outcome.exists) {
      object.Set("identity", VersionText(outcome.version));
      object.Set("contents",
                 Napi::Buffer<char>::Copy(env, outcome.contents.data(), outcome.contents.size()));
    }
    return object;
  }
};

Reading ReadingOf(const CallbackInfo& info) {
  const auto options = info[0].As<Napi::Object>();
  Reading reading;
  reading.request.path = StringOf(options, "path");
  reading.request.parents = ParentsOf(options);
  reading.request.max_bytes = static_cast<uint64_t>(NumberOf(options, "maxBytes"));
  reading.request.journal_directory = StringOf(options, "journalDir");
  return reading;
}

Value ReadFile(const CallbackInfo& info) {
  return JobWorker<Reading>::Start(info.Env(), ReadingOf(info));
}

Value ReadFileSync(const CallbackInfo& info) {
  Reading reading = ReadingOf(info);
  reading.Run();
  return reading.ToValue(info.Env());
}

// ---- Removing ----

struct Removal {
  RemoveRequest request;
  bool removed = false;
  Error error;

  void Run() { error = RemoveFile(request, &removed); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = Napi::Object::New(env);
    object.Set("ok", error.ok());
    object.Set("removed", removed);
    object.Set("transient", error.transient);
    if (!error.ok()) object.Set("error", ErrorValueOf(env, error));
    return object;
  }
};

Value RemoveRegularFile(const CallbackInfo& info) {
  const auto options = info[0].As<Napi::Object>();
  Removal removal;
  removal.request.path = StringOf(options, "path");
  removal.request.parents = ParentsOf(options);
  removal.request.expected = VersionOfText(StringOf(options, "expected"));
  return JobWorker<Removal>::Start(info.Env(), std::move(removal));
}

}  // namespace

void ExportReplaceFunctions(Napi::Object exports, AddonData* data) {
  Export<OpenReplacement>(exports, "openReplacement", data);
  Export<ReplaceSteps>(exports, "replaceSteps", data);
  Export<ReplaceStepsSync>(exports, "replaceStepsSync", data);
  Export<CancelReplacement>(exports, "cancelReplacement", data);
  Export<CloseReplacement>(exports, "closeReplacement", data);
  Export<ReadFile>(exports, "readFile", data);
  Export<ReadFileSync>(exports, "readFileSync", data);
  Export<RemoveRegularFile>(exports, "removeFile", data);
}

}  // namespace holdfast
