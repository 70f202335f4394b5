// Keys of features that are not built yet. They are parsed, type-checked and accepted while switched off;
// switching one on is refused with one line. A row disappears when a module takes the key over.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/config/schema.h"

namespace deepspeed::config {

struct NotYetRow {
  /// Dotted path; "a/b" as last part: b is an alias of a; "x[]" a list of blocks; "<name>" a name of the
  /// user's choice.
  const char* path;
  /// Alternatives separated by '|': bool, int, int>=N, int>N, number, number>=N, number>N, number:A..B, text,
  /// texts (a text or a list of texts), "some of a/b" (a list of such words), numbers, ints, list, object,
  /// any, null, and literal words. "block" or "strict": the path is a block whose keys follow ("|null": it
  /// may be null).
  const char* type;
  /// JSON text of the default.
  const char* initial;
  /// Values that leave the feature off, separated by '|'. "=": the default alone. "": every value, because
  /// the key only adjusts a feature that another key switches on. A leading '!': the block without this key
  /// is on, too.
  const char* off;
  const char* feature;
};

/// All rows: features to come, and those that DeepSpeed 0.19.8 removed.
std::vector<NotYetRow> not_yet_rows();
std::vector<NotYetRow> not_yet_zero_rows();
std::vector<NotYetRow> not_yet_block_rows();
std::vector<NotYetRow> not_yet_feature_rows();
std::vector<NotYetRow> not_yet_removed_rows();

/// Adds the rows to the composed table, creating blocks where none exists. Paths that a module already owns
/// are a std::logic_error.
void add_not_yet_rows(Table& root, const std::vector<NotYetRow>& rows);

/// "not available yet: <feature> (zero_optimization.stage = 3 at ds.json:9:12)".
[[noreturn]] void refuse_not_yet(const std::string& feature, const Node& node);

/// A field of the little type language above, bound to no struct.
Field not_yet_field(const NotYetRow& row, const std::string& key);

}  // namespace deepspeed::config
