#include "win.h"

namespace holdfast {

const char kPathSeparators[] = "\\/";

namespace {

constexpr char kNamespace[] = "\\\\?\\";
constexpr char kUncNamespace[] = "\\\\?\\UNC\\";

bool IsSeparator(char character) { return character == '\\' || character == '/'; }

bool StartsWith(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

std::string WithBackslashes(std::string path) {
  for (char& character : path) {
    if (character == '/') character = '\\';
  }
  return path;
}

// The end of "server\share\", from `begin` on.
size_t ShareEnd(const std::string& path, size_t begin) {
  for (int component = 0; component < 2; component++) {
    const size_t separator = path.find('\\', begin);
    if (separator == std::string::npos) return path.size();
    begin = separator + 1;
  }
  return begin;
}

}  // namespace

size_t RootLength(const std::string& given) {
  const std::string path = WithBackslashes(given);
  if (StartsWith(path, kUncNamespace)) return ShareEnd(path, sizeof(kUncNamespace) - 1);
  // "\\?\C:\", "\\?\Volume{…}\"
  if (StartsWith(path, kNamespace)) {
    const size_t separator = path.find('\\', sizeof(kNamespace) - 1);
    return separator == std::string::npos ? path.size() : separator + 1;
  }
  if (StartsWith(path, "\\\\")) return ShareEnd(path, 2);
  return path.size() >= 3 && path[1] == ':' && IsSeparator(path[2]) ? 3 : 0;
}

std::wstring ToWide(const std::string& text) {
  const int size = static_cast<int>(text.size());
  const int length = MultiByteToWideChar(CP_UTF8, 0, text.data(), size, nullptr, 0);
  std::wstring wide(static_cast<size_t>(length), L'\0');
  MultiByteToWideChar(CP_UTF8, 0, text.data(), size, wide.data(), length);
  return wide;
}

std::string ToUtf8(const std::wstring& text) {
  const int size = static_cast<int>(text.size());
  const int length =
      WideCharToMultiByte(CP_UTF8, 0, text.data(), size, nullptr, 0, nullptr, nullptr);
  std::string narrow(static_cast<size_t>(length), '\0');
  WideCharToMultiByte(CP_UTF8, 0, text.data(), size, narrow.data(), length, nullptr, nullptr);
  return narrow;
}

std::wstring ToNamespacedPath(const std::string& given) {
  const std::string path = WithBackslashes(given);
  if (StartsWith(path, kNamespace)) return ToWide(path);
  if (StartsWith(path, "\\\\")) return ToWide(kUncNamespace + path.substr(2));
  return ToWide(kNamespace + path);
}

std::string CanonicalName(const std::string& name) {
  const std::wstring wide = ToWide(name);
  const int size = static_cast<int>(wide.size());
  std::wstring upper(wide.size(), L'\0');
  // One character stays one character: what file systems compare by knows no other mapping.
  const int length = LCMapStringEx(LOCALE_NAME_INVARIANT, LCMAP_UPPERCASE, wide.data(), size,
                                   upper.data(), size, nullptr, nullptr, 0);
  return length > 0 ? ToUtf8(upper) : name;
}

}  // namespace holdfast
