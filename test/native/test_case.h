// Test cases in a program of their own: `--list` prints their names, and `NAME DIRECTORY` runs one in an empty directory.
#ifndef HOLDFAST_TEST_NATIVE_TEST_CASE_H_
#define HOLDFAST_TEST_NATIVE_TEST_CASE_H_

#include <sstream>
#include <string>
#include <type_traits>

namespace holdfast {

struct TestCase {
  TestCase(const char* name, void (*run)());

  const char* const name;
  void (*const run)();
  const TestCase* next;
};

// What a program does before a case; it defines that.
void PrepareCase(const std::string& directory);

// Says what is wrong; the case goes on and has failed.
void ReportFailure(const char* file, int line, const std::string& message);

template <typename Value>
std::string Shown(const Value& value) {
  std::ostringstream text;
  if constexpr (std::is_enum_v<Value>) {
    text << static_cast<long long>(value);
  } else {
    text << value;
  }
  return text.str();
}

template <typename Found, typename Expected>
void CheckEqual(const char* file, int line, const char* expression, const Found& found,
                const Expected& expected) {
  if (found == static_cast<Found>(expected)) return;
  ReportFailure(file, line,
                std::string(expression) + " is " + Shown(found) + ", not " +
                    Shown(static_cast<Found>(expected)));
}

}  // namespace holdfast

#define HOLDFAST_JOIN_AGAIN(a, b) a##b
#define HOLDFAST_JOIN(a, b) HOLDFAST_JOIN_AGAIN(a, b)

#define TEST_CASE(name)                                         \
  static void HOLDFAST_JOIN(TestAtLine, __LINE__)();            \
  static const TestCase HOLDFAST_JOIN(test_at_line_, __LINE__)( \
      name, HOLDFAST_JOIN(TestAtLine, __LINE__));               \
  static void HOLDFAST_JOIN(TestAtLine, __LINE__)()

#define CHECK(condition) \
  static_cast<void>((condition) || (ReportFailure(__FILE__, __LINE__, #condition), false))
#define CHECK_EQUAL(found, expected) CheckEqual(__FILE__, __LINE__, #found, found, expected)

#endif  // HOLDFAST_TEST_NATIVE_TEST_CASE_H_
