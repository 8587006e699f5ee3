// Files that threads of one process replace, copy into, append to and read at once.
#include <fstream>
#include <set>
#include <thread>

#include "append_log.h"
#include "core.h"
#include "read_file.h"
#include "remove_file.h"
#include "replace.h"

namespace holdfast {

namespace {

constexpr int kWriters = 4;

std::string ContentsOf(int number) {
  return std::string(1000 + static_cast<size_t>(number) * 37, static_cast<char>('a' + number % 26));
}

bool AreWhole(const std::vector<char>& contents) {
  for (const char byte : contents) {
    if (byte != contents.front()) return false;
  }
  return contents.size() >= 1000 && (contents.size() - 1000) % 37 == 0;
}

// A copy that runs is no failure: what waits for it tries again, as JavaScript's timers do.
ReplaceError Replace(const ReplaceRequest& request, const std::string& contents) {
  for (;;) {
    Replacement replacement(request);
    ReplaceError error = replacement.Begin(contents.size());
    if (error.ok()) error = replacement.Write(contents.data(), contents.size());
    ReplaceResult result;
    if (error.ok()) error = replacement.Commit(true, &result);
    if (error.ok() || !error.error.transient) return error;
    std::this_thread::yield();
  }
}

void ReadWhole(const std::string& path) {
  ReadRequest request;
  request.path = path;
  request.max_bytes = 1 << 20;
  ReadOutcome outcome;
  Error error = ReadRegularFile(request, &outcome);
  while (error.transient) {
    std::this_thread::yield();
    error = ReadRegularFile(request, &outcome);
  }
  CHECK_EQUAL(error.number, 0);
  CHECK(outcome.exists && AreWhole(outcome.contents));
}

void ReplaceAndRead(CopyFallback copy_fallback) {
  const std::string path = PathIn("file");
  WriteWhole(path, ContentsOf(0));
  InThreads(kWriters, [&](int number) {
    for (int round = 0; round < Rounds(50); round++) {
      ReplaceRequest request;
      request.path = path;
      request.keep_mode = true;
      request.durability = Durability::kNone;
      request.copy_fallback = copy_fallback;
      const ReplaceError failure = Replace(request, ContentsOf(number * 10 + round % 10));
      CHECK_EQUAL(failure.error.number, 0);
      ReadWhole(path);
    }
  });
}

}  // namespace

TEST_CASE("files that are replaced by many are always whole") {
  ReplaceAndRead(CopyFallback::kNever);
}

TEST_CASE("files that are copied into by many are always whole") {
  ReplaceAndRead(CopyFallback::kAlways);
}

TEST_CASE("a replace that is cancelled from another thread leaves the old file or the new one") {
  const std::string path = PathIn("file");
  WriteWhole(path, ContentsOf(0));
  for (int round = 0; round < Rounds(100); round++) {
    ReplaceRequest request;
    request.path = path;
    request.keep_mode = true;
    Replacement replacement(request);
    const std::string contents = ContentsOf(1 + round % 20);
    InThreads(2, [&](int number) {
      if (number == 1) {
        replacement.Cancel();
        return;
      }
      ReplaceError error = replacement.Begin(contents.size());
      if (error.ok()) error = replacement.Write(contents.data(), contents.size());
      ReplaceResult result;
      if (error.ok()) error = replacement.Commit(true, &result);
      CHECK(error.ok() || error.cancelled);
    });
    ReadWhole(path);
  }
}

TEST_CASE("lines that are appended by many are all there, each of them whole") {
  const std::string path = PathIn("log");
  const int lines = Rounds(200);
  InThreads(kWriters, [&](int number) {
    AppendLogRequest request;
    request.path = path;
    AppendLog log(request);
    CHECK_EQUAL(log.Open().number, 0);
    for (int line = 0; line < lines; line++) {
      bool appended = false;
      while (!appended) {
        const std::string text = std::to_string(number) + ' ' + std::to_string(line) + '\n';
        const Error error = log.Append(text, /*without_lock=*/false, &appended);
        CHECK_EQUAL(error.number, 0);
        if (!error.ok()) return;
      }
    }
  });
  std::ifstream file(path);
  std::set<std::string> found;
  for (std::string line; std::getline(file, line);) found.insert(line);
  CHECK_EQUAL(found.size(), static_cast<size_t>(kWriters) * lines);
}

}  // namespace holdfast
