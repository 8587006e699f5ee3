// What Debian's libstdc++, which is made for glibc, needs and musl lacks: with it a program for musl that needs libstdc++
// runs on Debian, which has musl but no libstdc++ for it. Only scripts/musl.mjs uses it, to have a host for the tests.
#define _GNU_SOURCE
#include <link.h>
#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

// Zero: there may always be other threads.
char __libc_single_threaded = 0;

// libgcc's knowledge of the processor: none.
struct {
  unsigned vendor, type, subtype, features[1];
} __cpu_model;
int __cpu_indicator_init(void) { return 0; }

uint32_t arc4random(void) {
  uint32_t value;
  while (getrandom(&value, sizeof value, 0) != sizeof value) {
  }
  return value;
}

size_t __strftime_l(char* text, size_t size, const char* format, const struct tm* time,
                    locale_t locale) {
  return strftime_l(text, size, format, time, locale);
}

// ---- Destructors of thread_local variables ----

struct Destructor {
  void (*call)(void*);
  void* object;
  struct Destructor* next;
};

static pthread_key_t destructors;
static pthread_once_t destructors_made = PTHREAD_ONCE_INIT;

static void CallAll(void* first) {
  for (struct Destructor* one = first; one != NULL;) {
    struct Destructor* next = one->next;
    one->call(one->object);
    free(one);
    one = next;
  }
}

static void MakeDestructors(void) { pthread_key_create(&destructors, CallAll); }

int __cxa_thread_atexit_impl(void (*call)(void*), void* object, void* library) {
  (void)library;
  pthread_once(&destructors_made, MakeDestructors);
  struct Destructor* one = malloc(sizeof *one);
  if (one == NULL) return -1;
  *one = (struct Destructor){call, object, pthread_getspecific(destructors)};
  return pthread_setspecific(destructors, one);
}

// ---- Which library an instruction is in, for exceptions: struct dl_find_object of glibc's <dlfcn.h> ----

struct FoundObject {
  unsigned long long flags;
  void* begin;
  void* end;
  struct link_map* map;
  void* unwind_table;
  unsigned long long reserved[7];
};

struct Search {
  uintptr_t address;
  struct FoundObject* result;
};

static int Look(struct dl_phdr_info* info, size_t size, void* data) {
  (void)size;
  struct Search* search = data;
  uintptr_t begin = UINTPTR_MAX, end = 0;
  void* table = NULL;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)* part = &info->dlpi_phdr[i];
    const uintptr_t start = info->dlpi_addr + part->p_vaddr;
    if (part->p_type == PT_GNU_EH_FRAME) table = (void*)start;
    if (part->p_type != PT_LOAD) continue;
    if (start < begin) begin = start;
    if (start + part->p_memsz > end) end = start + part->p_memsz;
  }
  if (search->address < begin || search->address >= end || table == NULL) return 0;
  memset(search->result, 0, sizeof *search->result);
  search->result->begin = (void*)begin;
  search->result->end = (void*)end;
  search->result->unwind_table = table;
  return 1;
}

int _dl_find_object(void* address, struct FoundObject* result) {
  struct Search search = {(uintptr_t)address, result};
  return dl_iterate_phdr(Look, &search) == 1 ? 0 : -1;
}
