// Configuration text to values that remember where they were written.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::config {

using Json = nlohmann::ordered_json;

/// 1-based; columns count bytes. Line 0: not from a text; kCommandLine: from the command line.
struct Position {
  int line = 0;
  int column = 0;
};

inline constexpr int kCommandLine = -1;

/// Where a value (for a member: its key) was written; children in the order of the value's elements or
/// members.
struct PositionTree {
  Position position;
  std::vector<PositionTree> children;
};

/// A parsed configuration. Immutable after construction; Nodes refer to it and must not outlive it.
struct Document {
  /// File name, or "config" for inline text, for messages.
  std::string name;
  Json json;
  PositionTree positions;
};

/// A value inside a Document with its dotted path. Cheap to copy.
class Node {
 public:
  explicit Node(const Document& document);
  const Json& json() const { return *json_; }
  /// "zero_optimization.stage"; "" for the root.
  const std::string& path() const { return path_; }
  /// The last part of the path.
  const std::string& key() const { return key_; }
  /// The whole configuration that this value belongs to.
  Node root() const { return Node(*document_); }
  /// "ds.json:12:5", "the command line", or just the name where the value came from no text.
  std::string where() const;
  /// "zero_optimization.stage = 4 at ds.json:12:5": how messages name a value. Long values are cut.
  std::string describe() const;
  /// The member, when this is an object that has it.
  std::optional<Node> find(std::string_view key) const;
  /// Members of an object or elements of an array (paths "a.b", "a[0]"); empty for anything else.
  std::vector<Node> children() const;
  /// A value that takes this one's place and position under another key of the same object.
  Node replaced_by(std::string_view key, Json value) const;

 private:
  Node child(size_t index, const Json& json, std::string key) const;

  const Document* document_;
  const Json* json_;
  std::shared_ptr<const Json> owned_;
  const PositionTree* positions_;
  Position position_;
  std::string path_, key_;
};

/// Reads JSON with the liberties of HJSON: comments (`//`, `/* */`, `#`), trailing commas, newlines instead
/// of commas, keys without quotes, and single-word values without quotes. `name` stands in messages. Errors:
/// base::Error "name:line:column: what is wrong", for syntax, duplicate keys (all listed), invalid UTF-8,
/// numbers out of range, nesting
/// deeper than 64, keys over 1000 bytes and texts over 16 MiB. The root must be an object.
Document parse_text(std::string_view text, std::string name);

/// `source` is the path of a file, the text itself (starts with `{` or a comment), or the text in url-safe
/// base64.
Document load(std::string_view source);

/// A value made in memory; its messages carry no line.
Document from_json(Json json, std::string name = "config");

}  // namespace deepspeed::config
