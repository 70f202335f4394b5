// What every key of a configuration came to, and why.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/config/schema.h"

namespace deepspeed::config {

/// One key in force.
struct Explained {
  /// Today's dotted name, whatever spelling the file uses.
  std::string key;
  /// What the program obeys; for keys that no struct holds, what the file says.
  Json value;
  Origin origin = Origin::kDefault;
  /// "ds.json:3:5"; empty where the file does not have the key.
  std::string where;
  /// "file ds.json:3:5, 'bfloat16' is another name of this key"; "default"; "derived from ...".
  std::string source;
  /// Of the key, for its meaning and for the feature that it waits for.
  const Field* field = nullptr;
};

/// The keys of a configuration that Table::parse accepted into `target`, in table order: all that are
/// available, and those of features to come that the file gives. Blocks appear as their keys. The table must
/// outlive the result.
std::vector<Explained> explain(const Table& root, const Document& document, const void* target);

/// "file", "alias", "deprecated", "old form", "auto", "derived", "default".
const char* origin_name(Origin origin);

}  // namespace deepspeed::config
