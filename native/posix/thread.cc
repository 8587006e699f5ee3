#include <dlfcn.h>
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

// Enough for a system call and the C++ around it.
constexpr size_t kUsableStack = 128 * 1024;
constexpr size_t kLargestStack = 8 * 1024 * 1024;

// What the C library takes of a thread's stack for itself. glibc puts the static thread-local storage of every library there,
// and tells how much that is by a function that it has for debuggers alone; others make room for it beside the stack.
size_t ReservedStack(const pthread_attr_t* attributes) {
  using MinimumStack = size_t (*)(const pthread_attr_t*);
  static const auto kMinimumStack =
      reinterpret_cast<MinimumStack>(dlsym(RTLD_DEFAULT, "__pthread_get_minstack"));
  if (kMinimumStack != nullptr) return kMinimumStack(attributes);
  return static_cast<size_t>(std::max(0L, sysconf(_SC_THREAD_STACK_MIN)));
}

size_t RoundedToPages(size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

// All but those that a fault of the thread itself raises: with such a one blocked the kernel ends the process without a word to
// the application's handlers.
sigset_t AsynchronousSignals() {
  sigset_t signals;
  sigfillset(&signals);
  for (const int fault : {SIGSEGV, SIGBUS, SIGSYS, SIGFPE, SIGILL, SIGTRAP}) {
    sigdelset(&signals, fault);
  }
  return signals;
}

// EINVAL says that the stack is too small for what the C library needs of it.
int CreateThread(pthread_t* thread, void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  int result = EINVAL;
  for (size_t size = RoundedToPages(kUsableStack + ReservedStack(&attributes));
       result == EINVAL && size <= kLargestStack; size *= 2) {
    pthread_attr_setstacksize(&attributes, size);
    result = pthread_create(thread, &attributes, RunBody, argument);
  }
  pthread_attr_destroy(&attributes);
  return result;
}

}  // namespace

Error Thread::Start(std::function<void()> body) {
  static_assert(sizeof(pthread_t) <= sizeof(handle_), "a pthread_t fits into the handle");
  auto argument = std::make_unique<std::function<void()>>(std::move(body));

  // A new thread inherits the mask, so that no signal that is meant for the application is delivered to it.
  const sigset_t masked = AsynchronousSignals();
  sigset_t previous;
  pthread_sigmask(SIG_SETMASK, &masked, &previous);
  pthread_t thread;
  const int result = CreateThread(&thread, argument.get());
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);

  if (result != 0) return Error::FromSystem(result, "pthread_create");
  static_cast<void>(argument.release());
  handle_ = (intptr_t)thread;  // an integer on Linux, a pointer on macOS
  return {};
}

void Thread::Join() { pthread_join((pthread_t)handle_, nullptr); }

void Thread::Abandon() { pthread_detach((pthread_t)handle_); }

}  // namespace holdfast
