#include "binding.h"

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <system_error>

namespace holdfast {

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
