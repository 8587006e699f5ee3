#include <cstdio>
#include <cstring>

#include "test_case.h"

namespace holdfast {

namespace {

// In the order of their registration.
const TestCase* first_case = nullptr;
const TestCase** last_case = &first_case;
bool failed = false;

int ListCases() {
  for (const TestCase* test = first_case; test != nullptr; test = test->next) {
    static_cast<void>(std::printf("%s\n", test->name));
  }
  return 0;
}

int RunCase(const char* name, const char* directory) {
  for (const TestCase* test = first_case; test != nullptr; test = test->next) {
    if (std::strcmp(test->name, name) != 0) continue;
    PrepareCase(directory);
    test->run();
    return failed ? 1 : 0;
  }
  static_cast<void>(std::fprintf(stderr, "no such case: %s\n", name));
  return 2;
}

}  // namespace

TestCase::TestCase(const char* case_name, void (*function)())
    : name(case_name), run(function), next(nullptr) {
  *last_case = this;
  last_case = const_cast<const TestCase**>(&next);
}

void ReportFailure(const char* file, int line, const std::string& message) {
  failed = true;
  static_cast<void>(std::fprintf(stderr, "%s:%d: %s\n", file, line, message.c_str()));
}

}  // namespace holdfast

int main(int count, char** arguments) {
  if (count == 2 && std::strcmp(arguments[1], "--list") == 0) return holdfast::ListCases();
  if (count == 3) return holdfast::RunCase(arguments[1], arguments[2]);
  static_cast<void>(std::fprintf(stderr, "usage: --list | NAME DIRECTORY\n"));
  return 2;
}
