#include <process.h>

#include "win.h"

namespace holdfast {

namespace {

constexpr unsigned kStackSize = 128 * 1024;

unsigned __stdcall RunBody(void* argument) {
  std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return 0;
}

}  // namespace

Error Thread::Start(std::function<void()> body) {
  auto argument = std::make_unique<std::function<void()>>(std::move(body));
  const uintptr_t thread = _beginthreadex(nullptr, kStackSize, RunBody, argument.get(),
                                          STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
  if (thread == 0) return Error::FromSystem(errno, "_beginthreadex");
  static_cast<void>(argument.release());
  handle_ = static_cast<intptr_t>(thread);
  return {};
}

void Thread::Join() {
  WaitForSingleObject(HandleOf(handle_), INFINITE);
  CloseHandle(HandleOf(handle_));
}

void Thread::Abandon() { CloseHandle(HandleOf(handle_)); }

}  // namespace holdfast
