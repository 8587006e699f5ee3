// The functions of Node-API, for a library that is linked without node-gyp: found by name, when the library is loaded, in
// whatever program has loaded it. An ordinary import would name node.exe, and in electron.exe or in a renamed copy of
// Node there is none. (Under node-gyp its delay-load hook does the same.)
//
// A function that is declared as imported is called through a pointer of the name __imp_<function>, which a linker
// otherwise finds in an import library. Here these pointers are ordinary variables.
#include <windows.h>

#include <cstdio>
#include <cstdlib>
#include <initializer_list>

// Written for each build: HOLDFAST_IMPORT(name) for each function of the version of Node-API that the addon asks for.
#define HOLDFAST_NODE_API_FUNCTIONS "node_api_functions.inc"

namespace {

// No hole in the list stops the library from being loaded: the addon may never call that function.
[[noreturn]] void FailMissing(const char* name) {
  static_cast<void>(std::fprintf(stderr, "holdfast: this program has no %s\n", name));
  std::abort();
}

#define HOLDFAST_IMPORT(name) \
  [[noreturn]] void Missing_##name() { FailMissing(#name); }
#include HOLDFAST_NODE_API_FUNCTIONS
#undef HOLDFAST_IMPORT

FARPROC AsFunction(void (*function)()) { return reinterpret_cast<FARPROC>(function); }

}  // namespace

extern "C" {
#define HOLDFAST_IMPORT(name)  \
  extern FARPROC __imp_##name; \
  FARPROC __imp_##name = AsFunction(Missing_##name);
#include HOLDFAST_NODE_API_FUNCTIONS
#undef HOLDFAST_IMPORT
}

namespace {

// The program itself, or the library that holds Node in a program that is built so.
HMODULE FindHost() {
  for (const wchar_t* name : {L"libnode.dll", L"node.dll"}) {
    const HMODULE library = GetModuleHandleW(name);
    if (library != nullptr && GetProcAddress(library, "napi_create_function") != nullptr) {
      return library;
    }
  }
  return GetModuleHandleW(nullptr);
}

void Resolve(HMODULE host, const char* name, FARPROC* import) {
  const FARPROC function = GetProcAddress(host, name);
  if (function != nullptr) *import = function;
}

// Runs before any function of the library that Node could call.
[[gnu::constructor]] void ResolveAll() {
  const HMODULE host = FindHost();
#define HOLDFAST_IMPORT(name) Resolve(host, #name, &__imp_##name);
#include HOLDFAST_NODE_API_FUNCTIONS
#undef HOLDFAST_IMPORT
}

}  // namespace
