#include <iterator>

#include "win.h"

namespace holdfast {

namespace {

struct KnownFileSystem {
  const wchar_t* name;
  FileSystemClass kind;
};

// CSVFS is a cluster's: another machine may answer.
constexpr KnownFileSystem kKnown[] = {
    {L"NTFS", FileSystemClass::kLocal},  {L"ReFS", FileSystemClass::kLocal},
    {L"FAT32", FileSystemClass::kLocal}, {L"exFAT", FileSystemClass::kLocal},
    {L"FAT", FileSystemClass::kLocal},   {L"UDF", FileSystemClass::kLocal},
    {L"CDFS", FileSystemClass::kLocal},  {L"CSVFS", FileSystemClass::kNetwork},
};

bool IsRemote(HANDLE file) {
  FILE_REMOTE_PROTOCOL_INFO info;
  return system_calls.get_file_information(file, FileRemoteProtocolInfo, &info, sizeof(info)) != 0;
}

}  // namespace

Error InspectFileSystem(const Directory& directory, FileSystem* file_system) {
  const HANDLE handle = HandleOf(directory.handle);
  wchar_t name[MAX_PATH + 1] = {};
  if (!GetVolumeInformationByHandleW(handle, nullptr, 0, nullptr, nullptr, nullptr, name,
                                     static_cast<DWORD>(std::size(name)))) {
    return LastError("statfs");
  }
  file_system->name = ToUtf8(name);
  file_system->kind = FileSystemClass::kUnknown;
  for (const KnownFileSystem& known : kKnown) {
    if (wcscmp(known.name, name) == 0) file_system->kind = known.kind;
  }
  // A share says that it is what the server's disk is.
  if (IsRemote(handle)) file_system->kind = FileSystemClass::kNetwork;
  return {};
}

}  // namespace holdfast
