// From a DeepSpeed configuration to checked structs. Torch-free.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/config/explain.h"
#include "deepspeed/config/json.h"
#include "deepspeed/engine/auto_values.h"
#include "deepspeed/engine/config.h"

namespace deepspeed::engine {

/// `source`: path of a file, the JSON text itself, or that text in url-safe base64. `world_size`:
/// data-parallel ranks,
/// >= 1, which the batch keys are resolved with. Prints nothing; warnings come back in the result.
/// Every mistake is a base::Error of one line with file, line and column: malformed text, duplicate, unknown
/// or misspelt keys, wrong types or values, keys given twice under two names, impossible batch sizes, and
/// keys that ask for something which is "not available yet".
/// "auto" is resolved from `facts` (auto_values.h).
DeepspeedConfig parse_config(std::string_view source, int world_size, const AutoFacts& facts = {});
/// The same from a document that is already read.
DeepspeedConfig parse_config(const config::Document& document, int world_size, const AutoFacts& facts = {});

/// A configuration key by key.
struct ConfigReport {
  /// What the rows' fields belong to.
  std::shared_ptr<config::Table> table;
  /// In table order, batch sizes resolved.
  std::vector<config::Explained> keys;
  std::vector<std::string> warnings;
};

/// What each key came to and where from. Errors: those of parse_config.
ConfigReport explain_config(const config::Document& document, int world_size, const AutoFacts& facts = {});

/// Every key with its aliases and deprecated spellings, dotted ("zero_optimization.stage"), in table order;
/// "<name>" stands for a name of the user's choice.
std::vector<std::string> config_keys();

/// The tables themselves (config/table_json.h).
config::Json config_reference_json();

/// docs/config.md: every key, type, default and meaning, from the tables.
std::string config_reference_markdown();

}  // namespace deepspeed::engine
