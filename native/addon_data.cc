#include "addon_data.h"

#include <utility>

namespace holdfast {

namespace {

// The places in the result array, as src/native.ts reads them.
enum ResultIndex : uint8_t { kResultId, kToken, kPreviousFlags, kRemote, kAge };
enum PreviousFlag : uint8_t {
  kHasHolder = 1,
  kIsMalformed = 2,
  kSessionRejected = 4,
  kTakenOver = 8,
};

int PreviousFlagsOf(const DecodedRecord& previous) {
  int flags = 0;
  if (previous.record.has_holder()) flags |= kHasHolder;
  if (previous.state == RecordState::kMalformed) flags |= kIsMalformed;
  if (previous.session_rejected) flags |= kSessionRejected;
  return flags;
}

double MillisecondsSince(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - then).count();
}

template <typename Value>
std::shared_ptr<Value> FindIn(const std::unordered_map<uint64_t, std::shared_ptr<Value>>& values,
                              uint64_t id) {
  const auto found = values.find(id);
  return found == values.end() ? nullptr : found->second;
}

}  // namespace

void Mailbox::Open(napi_threadsafe_function wake) {
  std::lock_guard<std::mutex> guard(mutex_);
  wake_ = wake;
}

void Mailbox::Close() {
  std::lock_guard<std::mutex> guard(mutex_);
  wake_ = nullptr;
  ids_.clear();
}

void Mailbox::Post(Environment::Id id) {
  // The call is made under the mutex, so that it never meets a function that is being torn down.
  std::lock_guard<std::mutex> guard(mutex_);
  if (wake_ == nullptr) return;
  ids_.push_back(id);
  if (ids_.size() == 1) napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
}

std::vector<Environment::Id> Mailbox::TakeAll() {
  std::lock_guard<std::mutex> guard(mutex_);
  return std::exchange(ids_, {});
}

AddonData::AddonData(Napi::Env env, Napi::Float64Array result, const std::string& host,
                     Napi::Function deliver)
    : env_(env),
      result_(Napi::Reference<Napi::Float64Array>::New(result, 1)),
      mailbox_(std::make_shared<Mailbox>()) {
  // Made before our clean-up hook, and so torn down after it: hooks run in reverse order.
  napi_create_threadsafe_function(env, deliver, nullptr, Napi::String::New(env, "holdfast"), 0, 1,
                                  nullptr, nullptr, this, CallJs, &wake_);
  napi_unref_threadsafe_function(env, wake_);
  mailbox_->Open(wake_);
  environment_ = std::make_unique<Environment>(
      host, [mailbox = mailbox_](Environment::Id id) { mailbox->Post(id); });
}

AddonData::~AddonData() { Close(); }

void AddonData::Close() {
  mailbox_->Close();
  environment_->Close();
}

Outcome AddonData::Report(Outcome outcome) {
  // Its memory is asked for each time, since a buffer can be transferred away from under it.
  napi_value numbers = nullptr;
  size_t length = 0;
  void* memory = nullptr;
  napi_get_reference_value(env_, result_, &numbers);
  napi_get_typedarray_info(env_, numbers, nullptr, &length, &memory, nullptr, nullptr);
  if (length <= kAge) return outcome;
  auto* const fields = static_cast<double*>(memory);
  fields[kResultId] = static_cast<double>(environment_->result_id());
  if (outcome == Outcome::kGranted) {
    if (const HeldLock* held = environment_->result_held(); held != nullptr) {
      fields[kToken] = static_cast<double>(held->token);
      fields[kPreviousFlags] =
          PreviousFlagsOf(held->previous) | (held->taken_over ? kTakenOver : 0);
      fields[kAge] = held->ttl == 0 ? 0 : MillisecondsSince(held->entered);
      fields[kRemote] = held->file.file_system == FileSystemClass::kLocal ? 0 : 1;
    }
  }
  return outcome;
}

void AddonData::SetReferenced(bool referenced) {
  if (referenced) {
    napi_ref_threadsafe_function(env_, wake_);
  } else {
    napi_unref_threadsafe_function(env_, wake_);
  }
}

uint64_t AddonData::AddReplacement(std::shared_ptr<Replacement> replacement) {
  replacements_.emplace(++last_replacement_, std::move(replacement));
  return last_replacement_;
}

std::shared_ptr<Replacement> AddonData::FindReplacement(uint64_t id) const {
  return FindIn(replacements_, id);
}

void AddonData::RemoveReplacement(uint64_t id) { replacements_.erase(id); }

uint64_t AddonData::AddLog(std::shared_ptr<AppendLog> log) {
  logs_.emplace(++last_log_, std::move(log));
  return last_log_;
}

std::shared_ptr<AppendLog> AddonData::FindLog(uint64_t id) const { return FindIn(logs_, id); }

void AddonData::RemoveLog(uint64_t id) { logs_.erase(id); }

void AddonData::CallJs(napi_env env, napi_value deliver, void* context, void*) {
  // Without an environment the function is being torn down.
  if (env != nullptr) static_cast<AddonData*>(context)->DeliverAll(env, deliver);
}

void AddonData::DeliverAll(napi_env env, napi_value deliver) {
  for (const Environment::Id id : mailbox_->TakeAll()) {
    Outcome outcome = Outcome::kFailed;
    if (!environment_->Deliver(id, &outcome)) continue;
    const Napi::HandleScope scope(env);
    Report(outcome);
    napi_value global = nullptr;
    napi_get_global(env, &global);
    const napi_value arguments[] = {Napi::Number::New(env, static_cast<double>(id)),
                                    Napi::Number::New(env, static_cast<double>(outcome))};
    if (napi_call_function(env, global, deliver, 2, arguments, nullptr) == napi_ok) continue;
    bool thrown = false;
    napi_is_exception_pending(env, &thrown);
    if (!thrown) {
      // This environment is ending and runs nothing any more, so that nobody was told of a grant.
      environment_->StartRelease(environment_->result_id(), /*untold=*/true);
      continue;
    }
    napi_value exception = nullptr;
    napi_get_and_clear_last_exception(env, &exception);
    napi_fatal_exception(env, exception);
  }
}

}  // namespace holdfast
