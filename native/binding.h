// What the functions that JavaScript calls have in common: arguments, and values to return.
#ifndef HOLDFAST_BINDING_H_
#define HOLDFAST_BINDING_H_

#include <napi.h>

#include <string>

#include "addon_data.h"
#include "platform.h"

namespace holdfast {

template <Napi::Value (*Callback)(const Napi::CallbackInfo&)>
void Export(Napi::Object exports, const char* name, AddonData* data) {
  exports.Set(name, Napi::Function::New<Callback>(exports.Env(), name, data));
}

inline Environment& EnvironmentOf(const Napi::CallbackInfo& info) {
  return AddonData::Of(info).environment();
}

// Empty where there is none.
inline std::string StringAt(const Napi::CallbackInfo& info, size_t index) {
  return info[index].IsString() ? info[index].As<Napi::String>().Utf8Value() : std::string();
}

inline uint32_t NumberAt(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Uint32Value();
}

inline int64_t IntegerAt(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Int64Value();
}

// Of a held lock, a wait, a replace, a log.
inline uint64_t IdAt(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<uint64_t>(IntegerAt(info, index));
}

// Of a number or a member of an enumeration.
template <typename Number>
Napi::Value NumberValue(const Napi::CallbackInfo& info, Number number) {
  return Napi::Number::New(info.Env(), static_cast<double>(number));
}

// An Error as src/errors.ts takes it.
Napi::Object ErrorValueOf(Napi::Env env, const Error& error);

// A file's state as JavaScript sees it: an opaque text.
std::string VersionText(const FileVersion& version);
FileVersion VersionOfText(const std::string& text);

}  // namespace holdfast

#endif  // HOLDFAST_BINDING_H_
