#include "deepspeed/base/env.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "deepspeed/base/error.h"

namespace deepspeed::base {

std::optional<std::string> env(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::optional<int64_t> env_int(const char* name) {
  auto text = env(name);
  if (!text) return std::nullopt;
  int64_t value = 0;
  const char* end = text->data() + text->size();
  auto [rest, status] = std::from_chars(text->data(), end, value);
  DS_CHECK(status == std::errc() && rest == end, "environment variable {}='{}' is not a whole number", name,
           *text);
  return value;
}

void set_env(const char* name, const std::string& value) { ::setenv(name, value.c_str(), /*overwrite=*/1); }

std::vector<std::string> environment() {
  std::vector<std::string> entries;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

}  // namespace deepspeed::base
