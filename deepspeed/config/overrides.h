// Single keys of a configuration set from a command line.
#pragma once

#include <span>
#include <string>

#include "deepspeed/config/json.h"

namespace deepspeed::config {

/// The document with each "block.key=value" of `assignments` set, in their order; blocks that are missing are
/// made. A value is JSON (1e-4, true, null, "text", [1, 2], {"a": 1}); what is none is a text (AdamW).
/// Messages place such values at "the command line". base::Error for text that is no assignment and for a
/// path through something that is no block; whether a key exists is for the tables to say.
Document with_overrides(Document document, std::span<const std::string> assignments);

}  // namespace deepspeed::config
