#ifndef HOLDFAST_ADDON_DATA_H_
#define HOLDFAST_ADDON_DATA_H_

#include <napi.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "append_log.h"
#include "environment.h"
#include "replace.h"

namespace holdfast {

// Carries ids from any thread to the one of the JavaScript environment. It outlives the environment in the hands of an
// abandoned thread, and is then closed: a post goes nowhere.
class Mailbox {
 public:
  void Open(napi_threadsafe_function wake);
  void Close();
  void Post(Environment::Id id);
  std::vector<Environment::Id> TakeAll();

 private:
  std::mutex mutex_;
  napi_threadsafe_function wake_ = nullptr;
  std::vector<Environment::Id> ids_;
};

// What the addon keeps for one copy of the package in one JavaScript environment. There may be several, when a test runner
// or a bundler loads the package more than once: each has ids of its own.
class AddonData {
 public:
  // `result` is filled by each call that has numbers to return; `deliver` is called with (id, outcome).
  AddonData(Napi::Env env, Napi::Float64Array result, const std::string& host,
            Napi::Function deliver);
  ~AddonData();
  AddonData(const AddonData&) = delete;
  AddonData& operator=(const AddonData&) = delete;

  // That of the function being called.
  static AddonData& Of(const Napi::CallbackInfo& info) {
    return *static_cast<AddonData*>(info.Data());
  }

  Environment& environment() { return *environment_; }

  // Writes what `outcome` brought into the array that was given at the start.
  Outcome Report(Outcome outcome);
  // Whether somebody waits for what may be delivered: that keeps the process alive, a held lock does not.
  void SetReferenced(bool referenced);
  // Replaces that JavaScript takes step by step. None is found under an id that was closed, or that never was one.
  uint64_t AddReplacement(std::shared_ptr<Replacement> replacement);
  std::shared_ptr<Replacement> FindReplacement(uint64_t id) const;
  void RemoveReplacement(uint64_t id);
  // Files that lines are appended to.
  uint64_t AddLog(std::shared_ptr<AppendLog> log);
  std::shared_ptr<AppendLog> FindLog(uint64_t id) const;
  void RemoveLog(uint64_t id);

  // Ends all native work; idempotent.
  void Close();

 private:
  static void CallJs(napi_env env, napi_value deliver, void* context, void* data);
  void DeliverAll(napi_env env, napi_value deliver);

  napi_env env_;
  Napi::Reference<Napi::Float64Array> result_;
  std::shared_ptr<Mailbox> mailbox_;
  napi_threadsafe_function wake_ = nullptr;
  std::unique_ptr<Environment> environment_;
  std::unordered_map<uint64_t, std::shared_ptr<Replacement>> replacements_;
  uint64_t last_replacement_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<AppendLog>> logs_;
  uint64_t last_log_ = 0;
};

// Everything of one environment, which lives as long as that does: one for each copy of the package.
struct Instances {
  std::vector<std::unique_ptr<AddonData>> all;
};

}  // namespace holdfast

#endif  // HOLDFAST_ADDON_DATA_H_
