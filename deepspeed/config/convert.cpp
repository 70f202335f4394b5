#include "deepspeed/config/convert.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "deepspeed/base/error.h"

namespace deepspeed::config {
namespace {

constexpr double kLargestWhole = 9223372036854774784.0;  // the largest double below 2^63

std::string with_limits(const char* kind, const Limits& limits) {
  std::string bounds = limits.describe();
  return bounds.empty() ? kind : fmt::format("{} {}", kind, bounds);
}

// A text that is a number as a whole ("2", not "5e8" for whole numbers), as pydantic takes it in strict
// blocks.
template <class T>
std::optional<T> parse_whole_text(const std::string& text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> to_int(const Json& json, const Rules& rules) {
  if (json.is_boolean() && rules.strict && rules.bool_as_number) return json.get<bool>() ? 1 : 0;
  if (json.is_string() && rules.strict) return parse_whole_text<int64_t>(json.get_ref<const std::string&>());
  if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX) return std::nullopt;
  if (json.is_number_integer()) return json.get<int64_t>();
  if (!json.is_number_float()) return std::nullopt;
  double real = json.get<double>();
  if (real != std::trunc(real) || std::abs(real) > kLargestWhole) return std::nullopt;
  return static_cast<int64_t>(real);
}

std::optional<double> to_number(const Json& json, const Rules& rules) {
  std::optional<double> value;
  if (json.is_number()) value = json.get<double>();
  if (json.is_boolean() && rules.strict && rules.bool_as_number) value = json.get<bool>() ? 1.0 : 0.0;
  if (json.is_string() && rules.strict) value = parse_whole_text<double>(json.get_ref<const std::string&>());
  if (value && !std::isfinite(*value)) return std::nullopt;
  return value;
}

}  // namespace

std::string Limits::describe() const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (min != -kInfinity && max != kInfinity)
    return fmt::format("{}{:g} and {}{:g}", min_open ? "> " : ">= ", min, max_open ? "< " : "<= ", max);
  if (min != -kInfinity) return fmt::format("{} {:g}", min_open ? ">" : ">=", min);
  if (max != kInfinity) return fmt::format("{} {:g}", max_open ? "<" : "<=", max);
  return "";
}

void fail_value(const Node& node, const std::string& wanted) {
  std::string text = node.describe();
  base::fail("{} must be {}: {}", node.path().empty() ? "the configuration" : node.path(), wanted, text);
}

bool read_bool(const Node& node, const Rules& rules) {
  const Json& json = node.json();
  if (json.is_boolean()) return json.get<bool>();
  if (rules.strict && json.is_number() && (json == 0 || json == 1)) return json == 1;
  if (rules.strict && json.is_string()) {
    static const std::vector<std::string> kYes{"true", "yes", "on", "y", "t", "1"},
        kNo{"false", "no", "off", "n", "f", "0"};
    std::string word = lower(json.get_ref<const std::string&>());
    if (std::find(kYes.begin(), kYes.end(), word) != kYes.end()) return true;
    if (std::find(kNo.begin(), kNo.end(), word) != kNo.end()) return false;
  }
  fail_value(node, "true or false");
}

int64_t read_int(const Node& node, const Rules& rules) {
  std::optional<int64_t> value = to_int(node.json(), rules);
  if (!value || !rules.limits.allows(static_cast<double>(*value)))
    fail_value(node, with_limits("a whole number", rules.limits));
  return *value;
}

double read_number(const Node& node, const Rules& rules) {
  std::optional<double> value = to_number(node.json(), rules);
  if (!value || !rules.limits.allows(*value)) fail_value(node, with_limits("a number", rules.limits));
  return *value;
}

std::string read_text(const Node& node, const Rules&) {
  if (!node.json().is_string()) fail_value(node, "a text");
  return node.json().get<std::string>();
}

std::vector<std::string> read_texts(const Node& node, const Rules& rules) {
  if (node.json().is_string()) return {read_text(node, rules)};
  if (!node.json().is_array()) fail_value(node, "a text or a list of texts");
  std::vector<std::string> out;
  for (const Node& element : node.children()) out.push_back(read_text(element, rules));
  return out;
}

std::vector<double> read_numbers(const Node& node, const Rules& rules) {
  if (node.json().is_number()) return {read_number(node, rules)};
  if (!node.json().is_array() || node.json().empty()) fail_value(node, "a number or a list of numbers");
  std::vector<double> out;
  for (const Node& element : node.children()) out.push_back(read_number(element, rules));
  return out;
}

size_t read_choice(const Node& node, const std::vector<std::string>& choices) {
  std::string hint;
  if (node.json().is_string()) {
    const auto& text = node.json().get_ref<const std::string&>();
    for (size_t i = 0; i < choices.size(); ++i)
      if (lower(text) == lower(choices[i])) return i;
    if (auto near = nearest_name(text, choices)) hint = fmt::format("; did you mean \"{}\"?", *near);
  }
  base::fail("{} must be one of {}: {}{}", node.path(), fmt::join(choices, ", "), node.describe(), hint);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

namespace {

// Edits to turn a into b: insert, delete, replace, swap neighbours ("optimal string alignment").
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

}  // namespace

std::optional<std::string> nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.size() > 100) return std::nullopt;
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    size_t distance = edit_distance(lower(name), lower(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace deepspeed::config
