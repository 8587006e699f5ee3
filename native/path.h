#ifndef HOLDFAST_PATH_H_
#define HOLDFAST_PATH_H_

#include <string>

#include "error.h"
#include "platform.h"

namespace holdfast {

std::string ParentOf(const std::string& path);
std::string NameOf(const std::string& path);
std::string Join(const std::string& directory, const std::string& name);

// `error` with the path it is about, unless it has one.
Error WithPath(Error error, const std::string& path);

}  // namespace holdfast

#endif  // HOLDFAST_PATH_H_
