// A table of keys as JSON, for programs: every key with type, default, bounds and spellings.
#pragma once

#include "deepspeed/config/schema.h"

namespace deepspeed::config {

/// {"doc", "strict", "any_name", "keys": [{"key", "aliases", "type", "default", "nullable", "min", "max",
/// "min_open", "max_open", "required", "auto_is_value", "deprecated", "replacement", "feature", "harmless",
/// "doc", "list", "table", "variants", "picked_by"}]}; members that say nothing are left out.
Json to_json(const Table& table);

}  // namespace deepspeed::config
