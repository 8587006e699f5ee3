// The table of errors: what Node calls each code.
#include <cerrno>

#include "support.h"

namespace holdfast {

namespace {

struct Expected {
  DWORD code;
  int number;
};

constexpr int kUnknown = 4094;

// As in libuv's src/win/error.c, by the numbers of the system, so that no header decides.
constexpr Expected kAsNode[] = {
    {5, EPERM},    {1314, EPERM},    {998, EACCES},       {740, EACCES},    {1920, EACCES},
    {183, EEXIST}, {80, EEXIST},     {33, EBUSY},         {231, EBUSY},     {32, EBUSY},
    {6, EBADF},    {995, ECANCELED}, {161, ENOENT},       {267, ENOENT},    {2, ENOENT},
    {15, ENOENT},  {123, ENOENT},    {4392, ENOENT},      {3, ENOENT},      {1921, ELOOP},
    {4, EMFILE},   {8, ENOMEM},      {14, ENOMEM},        {82, ENOSPC},     {112, ENOSPC},
    {39, ENOSPC},  {145, ENOTEMPTY}, {50, ENOTSUP},       {1, EISDIR},      {87, EINVAL},
    {17, EXDEV},   {19, EROFS},      {206, ENAMETOOLONG}, {121, ETIMEDOUT}, {64, ECONNRESET},
    {23, EIO},     {1393, EIO},      {31, EIO},           {1117, EIO},      {110, EIO},
    {27, EIO},
};

// What Node calls UNKNOWN, and a caller of this package has to tell apart.
constexpr Expected kOurs[] = {
    {303, EBUSY},   {1224, EBUSY},  {1175, EBUSY}, {1176, EBUSY}, {1177, EBUSY},
    {1295, EDQUOT}, {681, ELOOP},   {55, ENOENT},  {53, ENOENT},  {67, ENOENT},
    {1450, ENOMEM}, {1453, ENOMEM}, {1307, EPERM},
};

struct ExpectedOfStatus {
  uint32_t status;
  DWORD code;
  int number;
};

constexpr ExpectedOfStatus kStatuses[] = {
    {0xC0000022, 5, EPERM},                                      // access denied
    {0xC0000043, 32, EBUSY},                                     // sharing violation
    {0xC0000034, 2, ENOENT},                                     // name not found
    {0xC000003A, 3, ENOENT},                                     // path not found
    {0xC0000035, 183, EEXIST},                                   // name collision
    {0xC0000103, 267, ENOENT},                                   // not a directory
    {0xC0000106, 206, ENAMETOOLONG}, {0xC000007F, 112, ENOSPC},  // disk full
    {0xC00000A2, 19, EROFS},                                     // write protected
    {0xC00000D4, 17, EXDEV},                                     // not the same device
    {0xC0000056, 303, EBUSY},  // delete pending, which Win32 calls a denied access
};

TEST_CASE("errors: every code has the name that Node gives it, or a better one than UNKNOWN") {
  for (const auto& [code, number] : kAsNode) {
    const Error error = FromWin32(code, "call");
    CHECK_EQUAL(std::to_string(code) + ':' + std::to_string(error.number),
                std::to_string(code) + ':' + std::to_string(number));
    CHECK_EQUAL(error.system_code, code);
    CHECK_EQUAL(std::string(error.syscall), "call");
  }
  for (const auto& [code, number] : kOurs) {
    CHECK_EQUAL(std::to_string(code) + ':' + std::to_string(FromWin32(code, "call").number),
                std::to_string(code) + ':' + std::to_string(number));
  }
}

TEST_CASE("errors: a code that is in no table is an unknown error, and still an error") {
  for (const DWORD code : {DWORD{0}, DWORD{7}, DWORD{65535}}) {
    const Error error = FromWin32(code, "call");
    CHECK_EQUAL(error.number, kUnknown);
    CHECK_EQUAL(error.system_code, code);
    CHECK(!error.ok());
  }
}

TEST_CASE("errors: what passes by itself is transient, and nothing else") {
  const std::set<DWORD> passing = {32, 33, 303, 1224};
  for (DWORD code = 0; code < 12000; code++) {
    if (FromWin32(code, "call").transient != (passing.count(code) != 0)) {
      ReportFailure(__FILE__, __LINE__, std::to_string(code));
    }
  }
}

TEST_CASE("errors: what a kernel call answers is called as Win32 calls it, but for a deletion") {
  for (const auto& [status, code, number] : kStatuses) {
    const Error error = FromStatus(static_cast<NTSTATUS>(status), "call");
    CHECK_EQUAL(error.system_code, code);
    CHECK_EQUAL(error.number, number);
  }
  CHECK(FromStatus(kStatusDeletePending, "call").transient);
  CHECK(!FromStatus(kStatusAccessDenied, "call").transient);
}

TEST_CASE("errors: a request that a file system does not know") {
  for (const DWORD code : {87, 1, 50, 120, 124}) CHECK(IsUnknownRequest(code));
  for (const DWORD code : {0, 2, 5, 6, 32, 112}) CHECK(!IsUnknownRequest(code));
}

}  // namespace

}  // namespace holdfast
