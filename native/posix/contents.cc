#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

#include "posix.h"

namespace holdfast {

Error ReadAt(NativeHandle file, uint64_t offset, char* buffer, size_t size, size_t* read) {
  size_t done = 0;
  while (done < size) {
    const ssize_t count = RetryOnInterrupt([&] {
      return pread(DescriptorOf(file), buffer + done, size - done,
                   static_cast<off_t>(offset + done));
    });
    if (count < 0) return LastError("read");
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  *read = done;
  return {};
}

Error WriteAt(NativeHandle file, uint64_t offset, const char* buffer, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t count = RetryOnInterrupt([&] {
      return pwrite(DescriptorOf(file), buffer + done, size - done,
                    static_cast<off_t>(offset + done));
    });
    if (count < 0) return LastError("write");
    if (count == 0) return Error::FromSystem(EIO, "write");
    done += static_cast<size_t>(count);
  }
  return {};
}

Error Append(NativeHandle file, const char* buffer, size_t size, size_t* written) {
  *written = 0;
  while (*written < size) {
    // The descriptor has O_APPEND.
    const ssize_t count = RetryOnInterrupt(
        [&] { return write(DescriptorOf(file), buffer + *written, size - *written); });
    if (count < 0) return LastError("write");
    if (count == 0) return Error::FromSystem(EIO, "write");
    *written += static_cast<size_t>(count);
  }
  return {};
}

Error Truncate(NativeHandle file, uint64_t size) {
  if (RetryOnInterrupt([&] { return ftruncate(DescriptorOf(file), static_cast<off_t>(size)); }) !=
      0) {
    return LastError("ftruncate");
  }
  return {};
}

Error SetMode(NativeHandle file, uint32_t mode) {
  if (RetryOnInterrupt([&] { return fchmod(DescriptorOf(file), static_cast<mode_t>(mode)); }) !=
      0) {
    return LastError("fchmod");
  }
  return {};
}

bool HasExactMode(const FileStatus& status, uint32_t mode) { return status.mode == mode; }

Error SetModified(NativeHandle file, uint64_t modified) {
  constexpr uint64_t kSecond = 1000000000;
  timespec times[] = {{0, UTIME_OMIT}, {0, 0}};
  times[1].tv_sec = static_cast<time_t>(modified / kSecond);
  times[1].tv_nsec = static_cast<decltype(times[1].tv_nsec)>(modified % kSecond);
  if (RetryOnInterrupt([&] { return futimens(DescriptorOf(file), times); }) != 0) {
    return LastError("futimens");
  }
  return {};
}

Error StampModified(NativeHandle file, uint64_t previous) {
  timespec times[] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  const auto stamp = [&] {
    return RetryOnInterrupt([&] { return futimens(DescriptorOf(file), times); }) == 0;
  };
  if (!stamp()) return LastError("futimens");
  if (previous == 0) return {};
  FileStatus status;
  Error error = InspectFile(file, &status);
  if (!error.ok() || status.modified != previous) return error;
  // No file system counts in more than two seconds (FAT).
  times[1].tv_sec = static_cast<time_t>(previous / 1000000000U) + 2;
  times[1].tv_nsec = static_cast<decltype(times[1].tv_nsec)>(previous % 1000000000U);
  return stamp() ? Error{} : LastError("futimens");
}

Error StampVersion(NativeHandle file) {
  // Not UTIME_NOW: the kernel's clock for files stands still for up to ten milliseconds.
  timespec times[] = {{0, UTIME_OMIT}, {0, 0}};
  clock_gettime(CLOCK_REALTIME, &times[1]);
  if (RetryOnInterrupt([&] { return futimens(DescriptorOf(file), times); }) != 0) {
    return LastError("futimens");
  }
  return {};
}

Error InspectFile(NativeHandle file, FileStatus* status) {
  struct stat found;
  if (fstat(DescriptorOf(file), &found) != 0) return LastError("fstat");
  *status = FileStatusOf(found);
  return {};
}

}  // namespace holdfast
