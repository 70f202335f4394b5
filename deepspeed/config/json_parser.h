// The text half of json.h: a recursive-descent reader that keeps positions. Internal to config/.
#pragma once

#include <string>
#include <string_view>

#include "deepspeed/config/json.h"

namespace deepspeed::config {

/// Bounds recursion here and in whoever walks the result.
inline constexpr int kMaxDepth = 64;
inline constexpr size_t kMaxKeyBytes = 1000;
inline constexpr size_t kMaxTextBytes = size_t{16} << 20;

class JsonParser {
 public:
  JsonParser(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}
  Document parse();

 private:
  void value(Json& out, PositionTree& tree, int depth);
  void object(Json& out, PositionTree& tree, int depth);
  void array(Json& out, PositionTree& tree, int depth);
  void check_duplicates(const Json& object, const PositionTree& tree) const;
  std::string key();
  std::string quoted();
  void escape(std::string& out);
  unsigned hex4();
  Json bare_value();
  Json number(std::string_view token, Position at) const;
  std::string_view bare_token();
  /// Passes blanks and comments; true when a line ended on the way.
  bool skip();
  void skip_block_comment();
  /// After a member: a comma, a new line or the closing bracket must follow.
  void separator(char close);

  void check_utf8() const;
  bool at_end() const { return offset_ >= text_.size(); }
  bool starts_with(std::string_view s) const { return text_.substr(offset_).starts_with(s); }
  char peek() const { return text_[offset_]; }
  void advance();
  Position position() const;
  std::string found() const;
  [[noreturn]] void fail_at(Position at, const std::string& what) const;

  std::string_view text_;
  std::string name_;
  size_t offset_ = 0;
  int line_ = 1;
  size_t line_start_ = 0;
};

}  // namespace deepspeed::config
