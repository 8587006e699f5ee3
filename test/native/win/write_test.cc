// What fails while a file is written: the old contents stay, and no temporary file.
#include "support.h"

namespace holdfast {

namespace {

// Checks what every failure before the file is published has to leave.
void CheckOldStays(const Replaced& replaced, int number, const char* phase) {
  CHECK_EQUAL(replaced.failure.error.number, number);
  CHECK_EQUAL(std::string(replaced.failure.phase), phase);
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kOld);
  CHECK(!replaced.failure.published);
  CHECK_EQUAL(ReadText("target"), "old contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

using WriteCall = std::function<BOOL(HANDLE, const void*, DWORD, DWORD*, OVERLAPPED*)>;

void OnWrite(WriteCall call) { ReplaceCall<&SystemCalls::write_file>(std::move(call)); }

const ReplaceTry kLong{"target", std::string(100'000, 'x')};

TEST_CASE("write: what is taken in parts arrives whole") {
  WriteText("target", "old contents");
  int calls = 0;
  OnWrite(
      [&calls](HANDLE file, const void* data, DWORD size, DWORD* count, OVERLAPPED* overlapped) {
        calls++;
        return real_calls.write_file(file, data, std::min<DWORD>(size, 7777), count, overlapped);
      });
  CHECK(Replace(kLong).failure.ok());
  CHECK_EQUAL(calls, 13);
  CHECK(ReadText("target") == kLong.text);
}

TEST_CASE("write: the answer may come later") {
  WriteText("target", "old contents");
  OnWrite([](HANDLE file, const void* data, DWORD size, DWORD* count, OVERLAPPED* overlapped) {
    return real_calls.write_file(file, data, size, count, overlapped) ? Fail(ERROR_IO_PENDING)
                                                                      : FALSE;
  });
  CHECK(Replace(kLong).failure.ok());
  CHECK(ReadText("target") == kLong.text);
}

TEST_CASE("write: an answer that comes later may be a full disk") {
  WriteText("target", "old contents");
  OnWrite([](auto&&...) { return Fail(ERROR_IO_PENDING); });
  ReplaceCall<&SystemCalls::get_overlapped_result>([](HANDLE, OVERLAPPED*, DWORD*, BOOL wait) {
    CHECK(wait);
    return Fail(ERROR_DISK_FULL);
  });
  const Replaced replaced = Replace(kLong);
  RestoreCalls();
  CheckOldStays(replaced, ENOSPC, "write");
}

TEST_CASE("write: the disk is full half way") {
  WriteText("target", "old contents");
  OnWrite([calls = 0](HANDLE file, const void* data, DWORD size, DWORD* count,
                      OVERLAPPED* overlapped) mutable {
    if (++calls > 3) return Fail(ERROR_DISK_FULL);
    return real_calls.write_file(file, data, std::min<DWORD>(size, 1000), count, overlapped);
  });
  CheckOldStays(Replace(kLong), ENOSPC, "write");
}

TEST_CASE("write: nothing is taken, without an error") {
  WriteText("target", "old contents");
  OnWrite([](HANDLE file, const void* data, DWORD, DWORD* count, OVERLAPPED* overlapped) {
    return real_calls.write_file(file, data, 0, count, overlapped);
  });
  CheckOldStays(Replace(kLong), EIO, "write");
}

TEST_CASE("write: less is written than the system says") {
  WriteText("target", "old contents");
  OVERLAPPED* lied_about = nullptr;
  OnWrite([&](HANDLE file, const void* data, DWORD size, DWORD* count, OVERLAPPED* overlapped) {
    lied_about = overlapped;
    return real_calls.write_file(file, data, size / 2, count, overlapped);
  });
  ReplaceCall<&SystemCalls::get_overlapped_result>(
      [&](HANDLE file, OVERLAPPED* overlapped, DWORD* count, BOOL wait) {
        const BOOL done = real_calls.get_overlapped_result(file, overlapped, count, wait);
        if (overlapped == lied_about) *count = 100'000;
        return done;
      });
  CheckOldStays(Replace(kLong), EIO, "write");
}

TEST_CASE("write: the contents cannot be flushed") {
  WriteText("target", "old contents");
  ReplaceCall<&SystemCalls::flush_file_buffers>([](HANDLE) { return Fail(ERROR_IO_DEVICE); });
  CheckOldStays(Replace(kLong), EIO, "flush");
}

TEST_CASE("write: nothing is flushed that need not be") {
  int flushes = 0;
  ReplaceCall<&SystemCalls::flush_file_buffers>([&](HANDLE) {
    flushes++;
    return TRUE;
  });
  ReplaceTry attempt;
  attempt.change = [](ReplaceRequest* request) { request->durability = Durability::kNone; };
  CHECK(Replace(attempt).failure.ok());
  CHECK_EQUAL(flushes, 0);
}

TEST_CASE("write: a directory that cannot be flushed is told, and the new contents are there") {
  WriteText("target", "old contents");
  ReplaceTry attempt;
  attempt.change = [](ReplaceRequest* request) { request->durability = Durability::kFull; };
  DWORD code = ERROR_IO_DEVICE;
  ReplaceCall<&SystemCalls::flush_file_buffers>([&](HANDLE file) {
    FILE_STANDARD_INFO info;
    CHECK(real_calls.get_file_information(file, FileStandardInfo, &info, sizeof(info)));
    return info.Directory ? Fail(code) : real_calls.flush_file_buffers(file);
  });
  const Replaced replaced = Replace(attempt);
  CHECK_EQUAL(replaced.failure.error.number, EIO);
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kNew);
  CHECK(replaced.failure.published);
  CHECK_EQUAL(ReadText("target"), "new contents");
  // A file system that does not know how says so in one of these ways.
  for (const DWORD unknown : {ERROR_INVALID_FUNCTION, ERROR_INVALID_HANDLE, ERROR_NOT_SUPPORTED}) {
    code = unknown;
    CHECK(Replace(attempt).result.durable);
  }
}

void OnSetAllocation(DWORD code) {
  ReplaceCall<&SystemCalls::set_file_information>(
      [code](HANDLE file, FILE_INFO_BY_HANDLE_CLASS kind, void* data, DWORD size) {
        if (kind == FileAllocationInfo) return Fail(code);
        return real_calls.set_file_information(file, kind, data, size);
      });
}

TEST_CASE("write: there is no room for all of it") {
  WriteText("target", "old contents");
  OnSetAllocation(ERROR_DISK_FULL);
  CheckOldStays(Replace(kLong), ENOSPC, "reserve");
}

TEST_CASE("write: a file system that cannot set room aside is written to without") {
  WriteText("target", "old contents");
  for (const DWORD code : {ERROR_INVALID_PARAMETER, ERROR_NOT_SUPPORTED}) {
    OnSetAllocation(static_cast<DWORD>(code));
    CHECK(Replace(kLong).failure.ok());
  }
}

ReplaceTry ByCopy() {
  ReplaceTry attempt;
  attempt.change = [](ReplaceRequest* request) { request->copy_fallback = CopyFallback::kAlways; };
  return attempt;
}

TEST_CASE("copy: a full disk half way brings the old contents back") {
  WriteText("target", "old contents that are longer");
  OnWrite([failed = false](HANDLE file, const void* data, DWORD size, DWORD* count,
                           OVERLAPPED* overlapped) mutable {
    if (!failed && NameOfHandle(file) == "target") {
      failed = true;
      CHECK(real_calls.write_file(file, data, 3, count, overlapped));
      return Fail(ERROR_DISK_FULL);
    }
    return real_calls.write_file(file, data, size, count, overlapped);
  });
  const Replaced replaced = Replace(ByCopy());
  CHECK_EQUAL(replaced.failure.error.number, ENOSPC);
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kRestored);
  CHECK_EQUAL(ReadText("target"), "old contents that are longer");
  CHECK(Names() == std::set<std::string>{"target"});
}

TEST_CASE(
    "copy: a target that takes nothing more leaves the undo file, and the next use refuses a block "
    "that is neither old nor new") {
  WriteText("target", "OLD CONTENTS");
  OnWrite([writes = 0](HANDLE file, const void* data, DWORD size, DWORD* count,
                       OVERLAPPED* overlapped) mutable {
    if (NameOfHandle(file) != "target") {
      return real_calls.write_file(file, data, size, count, overlapped);
    }
    if (writes++ > 0) return Fail(ERROR_IO_DEVICE);
    CHECK(real_calls.write_file(file, data, 3, count, overlapped));
    return Fail(ERROR_IO_DEVICE);
  });
  Replaced replaced = Replace(ByCopy());
  RestoreCalls();
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kUnknown);
  CHECK_EQUAL(ReadText("target"), "new CONTENTS");
  // The undo file has two names.
  CHECK_EQUAL(Names().size(), 3U);
  ReplaceTry refused = ByCopy();
  refused.change = [](ReplaceRequest* request) { request->create_only = true; };
  const ReplaceError failure = Replace(refused).failure;
  CHECK_EQUAL(failure.error.number, EINVAL);
  CHECK(failure.error.refusal == Refusal::kChangedSinceCopy);
  CHECK_EQUAL(ReadText("target"), "new CONTENTS");
  CHECK_EQUAL(Names().size(), 3U);
}

TEST_CASE("copy: contents that cannot be flushed are taken back") {
  WriteText("target", "old contents");
  ReplaceCall<&SystemCalls::flush_file_buffers>([flushes = 0](HANDLE file) mutable {
    const bool first = NameOfHandle(file) == "target" && ++flushes == 1;
    return first ? Fail(ERROR_IO_DEVICE) : real_calls.flush_file_buffers(file);
  });
  const Replaced replaced = Replace(ByCopy());
  CHECK_EQUAL(replaced.failure.error.number, EIO);
  CHECK_EQUAL(replaced.failure.target_state, TargetState::kRestored);
  CHECK_EQUAL(ReadText("target"), "old contents");
  CHECK(Names() == std::set<std::string>{"target"});
}

}  // namespace

}  // namespace holdfast
