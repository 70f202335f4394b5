// One JSON value to one C++ value, with DeepSpeed's coercions. Every mistake names key, value and place.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/config/json.h"

namespace deepspeed::config {

/// What a number may be. Bounds are inclusive unless said.
struct Limits {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_open = false;
  bool max_open = false;
  bool bounded() const { return min != -std::numeric_limits<double>::infinity() || max != -min; }
  bool allows(double x) const { return (min_open ? x > min : x >= min) && (max_open ? x < max : x <= max); }
  /// "in 0..3", "> 0", ">= 1", or "" without bounds.
  std::string describe() const;
};

/// How values are read: blocks that DeepSpeed validates by a pydantic model ("strict") coerce booleans and
/// numeric texts, the others do not. Integral floats such as 5e8 are whole numbers everywhere.
struct Rules {
  bool strict = false;
  /// False: a boolean is no number here, even in a strict block.
  bool bool_as_number = true;
  Limits limits;
};

bool read_bool(const Node& node, const Rules& rules);
int64_t read_int(const Node& node, const Rules& rules);
double read_number(const Node& node, const Rules& rules);
std::string read_text(const Node& node, const Rules& rules);
/// A text or a list of texts.
std::vector<std::string> read_texts(const Node& node, const Rules& rules);
/// A number or a list of numbers.
std::vector<double> read_numbers(const Node& node, const Rules& rules);
/// Index of the choice that equals the text without regard to case. The error lists the choices and the
/// nearest one.
size_t read_choice(const Node& node, const std::vector<std::string>& choices);

/// "zero_optimization.stage must be a whole number in 0..3, not 4 (ds.json:9:12)".
[[noreturn]] void fail_value(const Node& node, const std::string& wanted);

std::string lower(std::string_view text);
/// The candidate closest in spelling (Damerau-Levenshtein, without regard to case), when it is close enough
/// to be meant.
std::optional<std::string> nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace deepspeed::config
