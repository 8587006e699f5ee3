// What the test cases share: answers of their own in the place of the system's, and files in the directory of the case.
#ifndef HOLDFAST_TEST_NATIVE_WIN_SUPPORT_H_
#define HOLDFAST_TEST_NATIVE_WIN_SUPPORT_H_

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../test_case.h"
#include "replace.h"
#include "win/win.h"

namespace holdfast {

// ---- Calls ----

// The table as it was before the case began: what the system really answers.
extern SystemCalls real_calls;

template <typename Pointer>
struct CallOf;

template <typename Result, typename... Arguments>
struct CallOf<Result(WINAPI*)(Arguments...)> {
  template <auto Entry>
  struct Replacement {
    static inline std::function<Result(Arguments...)> function;
    static Result WINAPI Call(Arguments... arguments) { return function(arguments...); }
  };
};

// Puts `function` in the place of one entry of the table.
template <auto Entry, typename Function>
void ReplaceCall(Function function) {
  using Pointer = std::remove_reference_t<decltype(system_calls.*Entry)>;
  using Replacement = typename CallOf<Pointer>::template Replacement<Entry>;
  Replacement::function = std::move(function);
  system_calls.*Entry = &Replacement::Call;
}

inline void RestoreCalls() { system_calls = real_calls; }

// What a call answers that fails.
inline BOOL Fail(DWORD code) {
  SetLastError(code);
  return FALSE;
}

constexpr auto kStatusAccessDenied = static_cast<NTSTATUS>(0xC0000022);
constexpr auto kStatusSharingViolation = static_cast<NTSTATUS>(0xC0000043);
constexpr auto kStatusDeletePending = static_cast<NTSTATUS>(0xC0000056);
constexpr auto kStatusNameNotFound = static_cast<NTSTATUS>(0xC0000034);

constexpr ULONG kOptionOpenReparsePoint = 0x200000;

// The arguments of NtCreateFile().
struct NtOpen {
  ACCESS_MASK access;
  std::string name;
  ULONG options;
};

// Has `decide` answer NtCreateFile() before the system does; 0 leaves it to the system.
void OnOpen(std::function<NTSTATUS(const NtOpen&)> decide);

// The same for the renames: `name` is the new one, `kind` the information class.
struct NtRename {
  HANDLE file;
  std::string name;
  int kind;
};
void OnRename(std::function<NTSTATUS(const NtRename&)> decide);

// ---- Files ----

extern std::string test_directory;

std::string PathIn(const std::string& name);
void WriteText(const std::string& name, const std::string& text);
// "(absent)" of a name that leads nowhere.
std::string ReadText(const std::string& name);
void MakeReadOnly(const std::string& name);
// Everything in the directory of the case.
std::set<std::string> Names();
// The last component of the path that a handle leads to.
std::string NameOfHandle(HANDLE file);
// As another program has a file open.
Handle HoldOpen(const std::string& name, DWORD access, DWORD share);
Directory OpenTestDirectory(const std::string& name = {});

// ---- Replacing ----

struct Replaced {
  ReplaceError failure;
  ReplaceResult result;
};

// One replace through the whole core, by as many tries as `tries`, the last of which is the last try. What was not
// published is gone when it returns.
struct ReplaceTry {
  std::string name = "target";
  std::string text = "new contents";
  int tries = 1;
  bool gives_up = false;  // the last try is none: more could follow
  std::function<void(ReplaceRequest*)> change = [](ReplaceRequest*) {};
  std::function<void()> between_tries = [] {};
};
Replaced Replace(const ReplaceTry& attempt);

}  // namespace holdfast

#endif  // HOLDFAST_TEST_NATIVE_WIN_SUPPORT_H_
