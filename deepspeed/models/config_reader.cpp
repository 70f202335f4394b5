#include "deepspeed/models/config_reader.h"

#include <limits>

#include "deepspeed/base/error.h"

namespace deepspeed::models {
namespace {

constexpr int64_t kLargestSize = int64_t{1} << 31;  // of any one dimension: keeps products within 63 bits

}  // namespace

int64_t whole_number(const nlohmann::json& value) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const bool beyond = value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(kMost);
  return beyond ? kMost : value.get<int64_t>();
}

int64_t ConfigReader::size(const char* key) const {
  DS_CHECK(present(key), "{}: '{}' is missing", where_, key);
  return size(key, 0);
}

int64_t ConfigReader::size(const char* key, int64_t fallback) const {
  if (!present(key)) return fallback;
  DS_CHECK(config_[key].is_number_integer(), "{}: '{}' must be a whole number", where_, key);
  const int64_t value = whole_number(config_[key]);
  DS_CHECK(value > 0 && value < kLargestSize, "{}: '{}' is {}, which is no possible size", where_, key,
           config_[key].dump());
  return value;
}

double ConfigReader::number(const char* key, double fallback) const {
  if (!present(key)) return fallback;
  DS_CHECK(config_[key].is_number(), "{}: '{}' must be a number", where_, key);
  return config_[key].get<double>();
}

double ConfigReader::probability(const char* key, double fallback) const {
  const double p = number(key, fallback);
  DS_CHECK(p >= 0 && p < 1, "{}: '{}' is {}, not a probability in [0, 1)", where_, key, p);
  return p;
}

bool ConfigReader::flag(const char* key, bool fallback) const {
  if (!present(key)) return fallback;
  DS_CHECK(config_[key].is_boolean(), "{}: '{}' must be true or false", where_, key);
  return config_[key].get<bool>();
}

std::string ConfigReader::text(const char* key, const std::string& fallback) const {
  if (!present(key)) return fallback;
  DS_CHECK(config_[key].is_string(), "{}: '{}' must be a string", where_, key);
  return config_[key].get<std::string>();
}

std::optional<int64_t> ConfigReader::token(const char* key, std::optional<int64_t> fallback,
                                           int64_t vocab) const {
  if (is_null(key)) return std::nullopt;
  if (!present(key)) return fallback && *fallback < vocab ? fallback : std::nullopt;
  DS_CHECK(config_[key].is_number_integer(), "{}: '{}' must be a token id", where_, key);
  const int64_t id = whole_number(config_[key]);
  DS_CHECK(id < vocab && id >= -vocab, "{}: '{}' is {}, outside the vocabulary of {}", where_, key,
           config_[key].dump(), vocab);
  return id < 0 ? id + vocab : id;
}

void ConfigReader::only(const char* key, const nlohmann::json& built) const {
  DS_CHECK(!present(key) || config_[key] == built, "{}: '{}' = {} is not available yet (only {})", where_,
           key, shown(config_[key]), built.dump());
}

}  // namespace deepspeed::models
