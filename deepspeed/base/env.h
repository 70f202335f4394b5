// The only place that reads the environment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace deepspeed::base {

/// The variable's value, or nothing when it is not set. An empty value is a value.
std::optional<std::string> env(const char* name);
/// The variable as a whole number; an Error that names the variable when it is set to anything else.
std::optional<int64_t> env_int(const char* name);
/// Sets a variable of this process. Call before threads start.
void set_env(const char* name, const std::string& value);
/// Every "NAME=value" of this process, for a child to start with.
std::vector<std::string> environment();

}  // namespace deepspeed::base
