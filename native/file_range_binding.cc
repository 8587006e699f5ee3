#include "file_range_binding.h"

#include <string>
#include <vector>

#include "binding.h"
#include "file_range.h"
#include "pool_worker.h"

namespace holdfast {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

// (path, refuseParentLinks, offset, …)
FileRange RangeOf(const CallbackInfo& info) {
  FileRange range;
  range.path = StringAt(info, 0);
  range.parents =
      info[1].As<Napi::Boolean>().Value() ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
  range.offset = static_cast<uint64_t>(IntegerAt(info, 2));
  return range;
}

Napi::Object OutcomeOf(Napi::Env env, const Error& error, bool exists) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ok", error.ok());
  if (!error.ok()) object.Set("error", ErrorValueOf(env, error));
  object.Set("exists", exists);
  return object;
}

struct TailWriting {
  TailRequest request;
  const char* data = nullptr;
  size_t size = 0;
  bool exists = false;
  uint64_t file_size = 0;
  Error error;

  void Run() { error = WriteTail(request, data, size, &exists, &file_size); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = OutcomeOf(env, error, exists);
    object.Set("fileSize", static_cast<double>(file_size));
    return object;
  }
};

// (path, refuseParentLinks, offset, anyOwner, durability, bytes)
Value WriteFileTail(const CallbackInfo& info) {
  TailWriting writing;
  writing.request.range = RangeOf(info);
  writing.request.trust_any_owner = info[3].As<Napi::Boolean>().Value();
  writing.request.durability = static_cast<Durability>(NumberAt(info, 4));
  const auto bytes = info[5].As<Napi::Uint8Array>();
  writing.data = reinterpret_cast<const char*>(bytes.Data());
  writing.size = bytes.ByteLength();
  return PoolWorker<TailWriting>::Start(info.Env(), writing, info[5]);
}

struct RangeReading {
  FileRange range;
  size_t size = 0;
  bool exists = false;
  std::vector<char> contents;
  Error error;

  void Run() { error = ReadRange(range, size, &exists, &contents); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = OutcomeOf(env, error, exists);
    object.Set("contents", Napi::Buffer<char>::Copy(env, contents.data(), contents.size()));
    return object;
  }
};

// (path, refuseParentLinks, offset, size)
Value ReadFileRange(const CallbackInfo& info) {
  RangeReading reading;
  reading.range = RangeOf(info);
  reading.size = static_cast<size_t>(IntegerAt(info, 3));
  return PoolWorker<RangeReading>::Start(info.Env(), std::move(reading));
}

}  // namespace

void ExportFileRangeFunctions(Napi::Object exports, AddonData* data) {
  Export<WriteFileTail>(exports, "writeFileTail", data);
  Export<ReadFileRange>(exports, "readFileRange", data);
}

}  // namespace holdfast
