#include "binding.h"

#include <charconv>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <system_error>

namespace holdfast {

namespace {

constexpr double kMaxSafeInteger = 9007199254740991;

bool IsWholeNumber(Napi::Value value, double most) {
  double number = -1;
  return napi_get_value_double(value.Env(), value, &number) == napi_ok && number >= 0 &&
         number <= most && number == std::floor(number);
}

bool IsArrayOf(Napi::Value value, napi_typedarray_type type) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type;
}

const char* DescriptionOf(Argument kind) {
  switch (kind) {
    case Argument::kText:
      return "a string";
    case Argument::kFlag:
      return "a boolean";
    case Argument::kId:
      return "a safe integer that is not negative";
    case Argument::kNumber:
      return "a 32-bit integer that is not negative";
    case Argument::kBytes:
      return "a Uint8Array";
    case Argument::kNumbers:
      return "a Float64Array";
    case Argument::kOptions:
      return "an object";
    case Argument::kFunction:
      return "a function";
    case Argument::kOptionalText:
      return "a string or undefined";
    case Argument::kOptionalId:
      return "undefined, or a safe integer that is not negative";
    case Argument::kOptionalNumber:
      return "undefined, or a 32-bit integer that is not negative";
    case Argument::kOptionalBytes:
      return "a Uint8Array or undefined";
    case Argument::kOptionalOptions:
      return "an object or undefined";
  }
  return "";
}

}  // namespace

bool IsArgument(const Napi::CallbackInfo& info, size_t index, Argument kind) {
  const bool is_optional = kind >= Argument::kOptionalText;
  if (index >= info.Length()) return is_optional;
  const Napi::Value value = info[index];
  if (is_optional && value.IsUndefined()) return true;
  switch (kind) {
    case Argument::kText:
    case Argument::kOptionalText:
      return value.IsString();
    case Argument::kFlag:
      return value.IsBoolean();
    case Argument::kId:
    case Argument::kOptionalId:
      return IsWholeNumber(value, kMaxSafeInteger);
    case Argument::kNumber:
    case Argument::kOptionalNumber:
      return IsWholeNumber(value, UINT32_MAX);
    case Argument::kBytes:
    case Argument::kOptionalBytes:
      return IsArrayOf(value, napi_uint8_array);
    case Argument::kNumbers:
      return IsArrayOf(value, napi_float64_array);
    case Argument::kOptions:
    case Argument::kOptionalOptions:
      return value.IsObject();
    case Argument::kFunction:
      return value.IsFunction();
  }
  return false;
}

Napi::Value RejectArguments(const Napi::CallbackInfo& info, std::initializer_list<Argument> kinds) {
  size_t index = 0;
  for (const Argument kind : kinds) {
    if (!IsArgument(info, index, kind)) {
      const std::string message = "Argument " + std::to_string(index + 1) +
                                  " of this function of holdfast's addon must be " +
                                  DescriptionOf(kind) +
                                  ". Call the functions of the package instead";
      Napi::TypeError::New(info.Env(), message).ThrowAsJavaScriptException();
      break;
    }
    index++;
  }
  return info.Env().Undefined();
}

std::string StringAt(const Napi::CallbackInfo& info, size_t index) {
  // Most are short: one call for them, where asking for type and length first takes three.
  char text[256];
  constexpr size_t kLongestCharacter = 4;
  const Napi::Value value = info[index];
  size_t length = 0;
  if (napi_get_value_string_utf8(info.Env(), value, text, sizeof(text), &length) != napi_ok) {
    return {};
  }
  if (length + kLongestCharacter < sizeof(text)) return {text, length};
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object ErrorValueOf(Napi::Env env, const Error& error) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("errno", error.number);
  object.Set("syscall", error.syscall);
  object.Set("path", error.path);
  object.Set("refusal", static_cast<double>(error.refusal));
  object.Set("owner", static_cast<double>(error.owner));
  object.Set("systemCode", error.system_code);
  object.Set("description", std::generic_category().message(error.number));
  return object;
}

std::string VersionText(const FileVersion& version) {
  const FileIdentity& identity = version.identity;
  std::string text;
  for (const uint64_t field : {identity.device, identity.inode_high, identity.inode, version.size,
                               version.changed, version.modified}) {
    char digits[24];
    if (!text.empty()) text.push_back(':');
    text.append(digits, std::to_chars(digits, digits + sizeof(digits), field).ptr);
  }
  return text;
}

FileVersion VersionOfText(const std::string& text) {
  FileVersion version;
  FileIdentity& identity = version.identity;
  const int fields =
      sscanf(text.c_str(), "%" SCNu64 ":%" SCNu64 ":%" SCNu64 ":%" SCNu64 ":%" SCNu64 ":%" SCNu64,
             &identity.device, &identity.inode_high, &identity.inode, &version.size,
             &version.changed, &version.modified);
  return fields == 6 ? version : FileVersion{};
}

}  // namespace holdfast
