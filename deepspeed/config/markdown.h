// docs/config.md from a table.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/config/schema.h"

namespace deepspeed::config {

/// One section a block, one row a key: type, default, meaning, and what is not available yet.
std::string to_markdown(const Table& root);

/// Dotted names of all keys, aliases and deprecated spellings included.
std::vector<std::string> key_paths(const Table& root);

}  // namespace deepspeed::config
