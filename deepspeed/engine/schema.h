// The configuration keys that the engine itself owns, and the composition of all tables.
#pragma once

#include "deepspeed/config/schema.h"
#include "deepspeed/engine/auto_values.h"
#include "deepspeed/engine/batch.h"
#include "deepspeed/engine/config.h"

namespace deepspeed::engine {

/// What the whole table fills: the result and the batch keys before they are resolved.
struct ParseTarget {
  DeepspeedConfig config;
  GivenBatch batch;
};

/// The root table: the engine's keys, every module's block, and the keys of features that are not built yet;
/// "auto" is resolved from `facts`.
config::Schema<ParseTarget> schema(const AutoFacts& facts = {});

}  // namespace deepspeed::engine
