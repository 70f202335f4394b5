// Typed access to the keys of one config.json; every error names the file and the key.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "deepspeed/formats/dtype.h"

namespace deepspeed::models {

/// The largest there is for what 63 bits do not hold. `value` is a whole number.
int64_t whole_number(const nlohmann::json& value);
/// The value for an error's one line: its beginning, where it is long.
inline std::string shown(const nlohmann::json& value) { return formats::shown(value.dump()); }

/// A key that is null counts as absent, as in transformers, unless asked with is_null. The JSON must outlive
/// the reader.
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& config, std::string where) : config_(config), where_(std::move(where)) {}

  /// A whole number in (0, 2^31).
  int64_t size(const char* key) const;
  int64_t size(const char* key, int64_t fallback) const;
  double number(const char* key, double fallback) const;
  /// In [0, 1).
  double probability(const char* key, double fallback) const;
  bool flag(const char* key, bool fallback) const;
  std::string text(const char* key, const std::string& fallback) const;
  /// A token of a vocabulary of `vocab`, counted from the end where negative; absent: `fallback`, unless that
  /// lies outside the vocabulary; nothing when there is none.
  std::optional<int64_t> token(const char* key, std::optional<int64_t> fallback, int64_t vocab) const;
  /// The option changes the arithmetic and only one value of it is built.
  void only(const char* key, const nlohmann::json& built) const;

  bool present(const char* key) const { return config_.contains(key) && !config_[key].is_null(); }
  bool is_null(const char* key) const { return config_.contains(key) && config_[key].is_null(); }
  const nlohmann::json& at(const char* key) const { return config_[key]; }
  const std::string& where() const { return where_; }

 private:
  const nlohmann::json& config_;
  std::string where_;
};

}  // namespace deepspeed::models
