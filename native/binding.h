// What the functions that JavaScript calls have in common: arguments, and values to return.
//
// A function is exported together with the kinds of its arguments. They are checked before it is called, and a wrong one is a
// TypeError: below, every argument is what it should be. An id that leads to nothing is for the function to report, by value.
#ifndef HOLDFAST_BINDING_H_
#define HOLDFAST_BINDING_H_

#include <napi.h>

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <string>

#include "addon_data.h"
#include "platform.h"

namespace holdfast {

// What an argument has to be. Optional ones may also be undefined, or left out.
enum class Argument : uint8_t {
  kText,
  kFlag,
  kId,  // a whole number that a double holds exactly, as are times in milliseconds and sizes in bytes
  kNumber,   // of 32 bits, without a sign
  kBytes,    // a Uint8Array
  kNumbers,  // a Float64Array
  kOptions,
  kFunction,
  kOptionalText,
  kOptionalId,
  kOptionalNumber,
  kOptionalBytes,
  kOptionalOptions,
};

// Whether `info[index]` is of this kind.
bool IsArgument(const Napi::CallbackInfo& info, size_t index, Argument kind);

// Throws a TypeError for the first argument that is not of its kind.
Napi::Value RejectArguments(const Napi::CallbackInfo& info, std::initializer_list<Argument> kinds);

// The kinds of all arguments of a function; `arguments::kId + arguments::kText` are those of one that takes an id and a text.
template <Argument... Kinds>
struct Signature {};

template <Argument... First, Argument... Then>
constexpr Signature<First..., Then...> operator+(Signature<First...>, Signature<Then...>) {
  return {};
}

namespace arguments {
inline constexpr Signature<> kNothing;
inline constexpr Signature<Argument::kText> kText;
inline constexpr Signature<Argument::kFlag> kFlag;
inline constexpr Signature<Argument::kId> kId;
inline constexpr Signature<Argument::kNumber> kNumber;
inline constexpr Signature<Argument::kBytes> kBytes;
inline constexpr Signature<Argument::kNumbers> kNumbers;
inline constexpr Signature<Argument::kOptions> kOptions;
inline constexpr Signature<Argument::kFunction> kFunction;
inline constexpr Signature<Argument::kOptionalText> kOptionalText;
inline constexpr Signature<Argument::kOptionalId> kOptionalId;
inline constexpr Signature<Argument::kOptionalNumber> kOptionalNumber;
inline constexpr Signature<Argument::kOptionalBytes> kOptionalBytes;
inline constexpr Signature<Argument::kOptionalOptions> kOptionalOptions;
}  // namespace arguments

template <Napi::Value (*Callback)(const Napi::CallbackInfo&), Argument... Kinds>
Napi::Value CallChecked(const Napi::CallbackInfo& info) {
  [[maybe_unused]] size_t index = 0;
  if (!(IsArgument(info, index++, Kinds) && ...)) return RejectArguments(info, {Kinds...});
  return Callback(info);
}

template <Napi::Value (*Callback)(const Napi::CallbackInfo&), Argument... Kinds>
void Export(Napi::Object exports, const char* name, AddonData* data, Signature<Kinds...>) {
  exports.Set(name,
              Napi::Function::New<CallChecked<Callback, Kinds...>>(exports.Env(), name, data));
}

inline Environment& EnvironmentOf(const Napi::CallbackInfo& info) {
  return AddonData::Of(info).environment();
}

// Empty where there is none.
std::string StringAt(const Napi::CallbackInfo& info, size_t index);

inline uint32_t NumberAt(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Uint32Value();
}

inline int64_t IntegerAt(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Int64Value();
}

inline bool FlagAt(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Boolean>();
}

struct Bytes {
  const char* data = nullptr;
  size_t size = 0;
};

// Those of a buffer that was transferred away are none.
inline Bytes BytesAt(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsTypedArray()) return {};
  const auto bytes = info[index].As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()};
}

// Of a held lock, a wait, a replace, a log.
inline uint64_t IdAt(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<uint64_t>(IntegerAt(info, index));
}

// At most ten years, so that no sum of times overflows.
inline std::chrono::milliseconds MillisecondsAt(const Napi::CallbackInfo& info, size_t index) {
  constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24 * 3653);
  return std::min(kLongest, std::chrono::milliseconds(IntegerAt(info, index)));
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
