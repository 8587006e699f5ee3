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

// (path, refuseParentLinks, offset, anyOwner, …)
FileRange RangeOf(const CallbackInfo& info) {
  FileRange range;
  range.path = StringAt(info, 0);
  range.parents = FlagAt(info, 1) ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
  range.offset = static_cast<uint64_t>(IntegerAt(info, 2));
  range.trust_any_owner = FlagAt(info, 3);
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
  writing.request.durability = static_cast<Durability>(NumberAt(info, 4));
  const Bytes bytes = BytesAt(info, 5);
  writing.data = bytes.data;
  writing.size = bytes.size;
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

// (path, refuseParentLinks, offset, anyOwner, size)
Value ReadFileRange(const CallbackInfo& info) {
  RangeReading reading;
  reading.range = RangeOf(info);
  reading.size = static_cast<size_t>(IntegerAt(info, 4));
  return PoolWorker<RangeReading>::Start(info.Env(), std::move(reading));
}

}  // namespace

void ExportFileRangeFunctions(Napi::Object exports, AddonData* data) {
  using namespace arguments;
  const auto range = kText + kFlag + kId + kFlag;
  Export<WriteFileTail>(exports, "writeFileTail", data, range + kNumber + kBytes);
  Export<ReadFileRange>(exports, "readFileRange", data, range + kId);
}

}  // namespace holdfast
