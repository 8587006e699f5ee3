#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "posix.h"

namespace holdfast {

namespace {

void* RunBody(void* argument) {
  std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

// Enough for a system call and the C++ around it; the thread's static storage, which glibc takes from the stack, is
// part of the system's minimum.
size_t StackSize() {
  constexpr long kWanted = 128 * 1024;
  return static_cast<size_t>(std::max(kWanted, sysconf(_SC_THREAD_STACK_MIN)));
}

}  // namespace

Error Thread::Start(std::function<void()> body) {
  static_assert(sizeof(pthread_t) <= sizeof(handle_), "a pthread_t fits into the handle");
  auto argument = std::make_unique<std::function<void()>>(std::move(body));

  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, StackSize());
  // A new thread inherits the mask, so that no signal of the application is ever delivered to it.
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  pthread_t thread;
  const int result = pthread_create(&thread, &attributes, RunBody, argument.get());
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  pthread_attr_destroy(&attributes);

  if (result != 0) return Error::FromSystem(result, "pthread_create");
  static_cast<void>(argument.release());
  handle_ = (intptr_t)thread;  // an integer on Linux, a pointer on macOS
  return {};
}

void Thread::Join() { pthread_join((pthread_t)handle_, nullptr); }

void Thread::Abandon() { pthread_detach((pthread_t)handle_); }

}  // namespace holdfast
