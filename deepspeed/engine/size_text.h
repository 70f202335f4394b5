// Numbers of bytes for people.
#pragma once

#include <fmt/format.h>

#include <string>

namespace deepspeed::engine {

/// "1.23 GB" from a billion bytes on, else "4.56 MB".
inline std::string size_text(double bytes) {
  return bytes >= 1e9 ? fmt::format("{:.2f} GB", bytes / 1e9) : fmt::format("{:.2f} MB", bytes / 1e6);
}

}  // namespace deepspeed::engine
