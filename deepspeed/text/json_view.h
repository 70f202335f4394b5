// Typed access to a parsed JSON document; errors name the file and the path to the value.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

class JsonView {
 public:
  /// `path` is "" for the document itself.
  JsonView(const nlohmann::json& value, const std::string& file, std::string path)
      : value_(&value), file_(&file), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  /// "tokenizer.json: model.vocab".
  std::string where() const { return path_.empty() ? *file_ : *file_ + ": " + path_; }
  bool is_null() const { return value_->is_null(); }

  bool has(const char* key) const {
    return value_->is_object() && value_->contains(key) && !(*value_)[key].is_null();
  }
  JsonView at(const char* key) const {
    DS_CHECK(value_->is_object(), "{} must be an object, not {}", where(), value_->type_name());
    const auto found = value_->find(key);
    DS_CHECK(found != value_->end(), "{}: '{}' is missing", where(), key);
    return {*found, *file_, path_.empty() ? key : path_ + "." + key};
  }
  /// A member whose name the file made up.
  JsonView member(const std::string& key) const {
    const auto found = object().find(key);
    DS_CHECK(found != object().end(), "{}: {} is missing", where(), quote(key));
    return {found->second, *file_, fmt::format("{}[{}]", path_, quote(key))};
  }
  JsonView at(size_t index) const { return {(*value_)[index], *file_, fmt::format("{}[{}]", path_, index)}; }

  /// Number of elements of what must be an array.
  size_t array_size() const {
    DS_CHECK(value_->is_array(), "{} must be an array, not {}", where(), value_->type_name());
    return value_->size();
  }
  const nlohmann::json::object_t& object() const {
    DS_CHECK(value_->is_object(), "{} must be an object, not {}", where(), value_->type_name());
    return value_->get_ref<const nlohmann::json::object_t&>();
  }
  const std::string& text() const {
    DS_CHECK(value_->is_string(), "{} must be a string, not {}", where(), value_->type_name());
    return value_->get_ref<const std::string&>();
  }
  bool boolean() const {
    DS_CHECK(value_->is_boolean(), "{} must be true or false, not {}", where(), value_->type_name());
    return value_->get<bool>();
  }
  bool boolean_or(const char* key, bool otherwise) const { return has(key) ? at(key).boolean() : otherwise; }
  /// A token id: 0 ... 2^31 - 1.
  int32_t id() const {
    DS_CHECK(is_id(*value_), "{} must be a token id from 0 to 2147483647, not {}", where(),
             quote(value_->dump()));
    return value_->get<int32_t>();
  }
  /// The id that is the member `key`'s value; no path is made unless it is needed.
  int32_t id_of(const std::string& key, const nlohmann::json& value) const {
    return is_id(value) ? value.get<int32_t>() : member(key).id();
  }

 private:
  static bool is_id(const nlohmann::json& value) {
    return value.is_number_unsigned() && value.get<uint64_t>() <= std::numeric_limits<int32_t>::max();
  }
  const nlohmann::json* value_;
  const std::string* file_;
  std::string path_;
};

}  // namespace deepspeed::text
