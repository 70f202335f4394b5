#include "deepspeed/formats/safetensors_header.h"

#include <nlohmann/json.hpp>

#include <limits>
#include <unordered_set>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/safetensors.h"

namespace deepspeed::formats {
namespace {

using Json = nlohmann::json;

// Streams the header, so that a hostile one cannot make us build a tree many times its size.
//   { "__metadata__": {text: text, ...}, NAME: {"dtype": text, "shape": [n, ...], "data_offsets": [n, n],
//   ...}, ... }
// Unknown keys of a tensor are skipped, as the reference library does.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const std::string& where) : where_(where) {}
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_float(double, const std::string& text) override { return other(shown(text)); }
  bool binary(binary_t&) override { return other("bytes"); }
  bool number_integer(int64_t value) override { return other(fmt::format("{}", value)); }

  bool number_unsigned(uint64_t value) override {
    if (skipping()) return true;
    constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (value > kMost) return other(fmt::format("{}", value));
    if (state_ == State::kShape) {
      DS_CHECK(info_.shape.size() < kMaxDimensions, "'{}': tensor '{}' has more than {} dimensions", where_,
               shown(info_.name), kMaxDimensions);
      info_.shape.push_back(static_cast<int64_t>(value));
    } else if (state_ == State::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? info_.begin : info_.end) = static_cast<size_t>(value);
    } else {
      return other(fmt::format("{}", value));
    }
    return true;
  }

  bool string(std::string& value) override {
    if (skipping()) return true;
    if (state_ == State::kMetadata) {
      DS_CHECK(header_.metadata.emplace(key_, value).second, "'{}': metadata key '{}' appears twice", where_,
               key_);
    } else if (state_ == State::kTensor && key_ == "dtype") {
      auto dtype = parse_dtype(value);
      DS_CHECK(dtype.has_value(), "'{}': tensor '{}' has dtype '{}', which is not supported", where_,
               shown(info_.name), shown(value));
      info_.dtype = *dtype;
    } else {
      return other("'" + shown(value) + "'");
    }
    return true;
  }

  bool key(std::string& value) override {
    if (skip_depth_ > 0) return true;
    key_ = value;
    if (state_ == State::kTensor) start_tensor_key();
    return true;
  }

  bool start_object(std::size_t) override {
    if (skipping_container()) return true;
    if (state_ == State::kStart) {
      state_ = State::kTop;
    } else if (state_ == State::kTop && key_ == "__metadata__") {
      DS_CHECK(!has_metadata_, "'{}': '__metadata__' appears twice", where_);
      has_metadata_ = true;
      state_ = State::kMetadata;
    } else if (state_ == State::kTop) {
      DS_CHECK(names_.insert(key_).second, "'{}': tensor '{}' appears twice", where_, shown(key_));
      info_ = TensorInfo();
      info_.name = key_;
      seen_ = 0;
      offsets_ = 0;
      state_ = State::kTensor;
    } else {
      return other("an object");
    }
    return true;
  }

  bool end_object() override {
    if (leaving_skipped()) return true;
    if (state_ == State::kTensor) finish_tensor();
    state_ = state_ == State::kTop ? State::kStart : State::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (skipping_container()) return true;
    if (state_ != State::kTensor || key_ == "dtype") return other("a list");
    state_ = key_ == "shape" ? State::kShape : State::kOffsets;
    return true;
  }

  bool end_array() override {
    if (leaving_skipped()) return true;
    DS_CHECK(state_ != State::kOffsets || offsets_ == 2, "'{}': tensor '{}' needs two data_offsets", where_,
             shown(info_.name));
    state_ = State::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    base::fail("'{}': malformed safetensors header at byte {}: {}", where_, position + 8,
               shown(error.what()));
  }

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kShape, kOffsets };
  enum Seen : unsigned { kSeenDtype = 1, kSeenShape = 2, kSeenOffsets = 4, kSeenAll = 7 };

  static unsigned key_bit(const std::string& key) {
    if (key == "dtype") return kSeenDtype;
    if (key == "shape") return kSeenShape;
    return key == "data_offsets" ? kSeenOffsets : Seen{};
  }

  void start_tensor_key() {
    const unsigned bit = key_bit(key_);
    skip_next_ = bit == 0;
    DS_CHECK((seen_ & bit) == 0, "'{}': tensor '{}' has '{}' twice", where_, shown(info_.name), shown(key_));
    seen_ |= bit;
  }

  void finish_tensor() {
    DS_CHECK(seen_ == kSeenAll, "'{}': tensor '{}' lacks dtype, shape or data_offsets", where_,
             shown(info_.name));
    auto count = element_count(info_.shape);
    size_t bytes = 0;
    DS_CHECK(count && !__builtin_mul_overflow(*count, dtype_size(info_.dtype), &bytes),
             "'{}': tensor '{}' has shape {}, whose size overflows", where_, shown(info_.name),
             shape_text(info_.shape));
    DS_CHECK(info_.begin <= info_.end && info_.end - info_.begin == bytes,
             "'{}': tensor '{}' of type {} and shape {} needs {} bytes, but its data_offsets are [{}, {}]",
             where_, shown(info_.name), dtype_name(info_.dtype), shape_text(info_.shape), bytes, info_.begin,
             info_.end);
    header_.tensors.push_back(std::move(info_));
  }

  bool skipping() {
    if (skip_depth_ > 0) return true;
    return std::exchange(skip_next_, false);
  }
  bool skipping_container() {
    if (skip_depth_ == 0 && !std::exchange(skip_next_, false)) return false;
    ++skip_depth_;
    return true;
  }
  bool leaving_skipped() {
    if (skip_depth_ == 0) return false;
    --skip_depth_;
    return true;
  }
  bool other(const std::string& found) {
    if (skipping()) return true;
    switch (state_) {
      case State::kStart:
        base::fail("'{}': the safetensors header is not a JSON object", where_);
      case State::kTop:
        base::fail("'{}': header key '{}' should hold an object, not {}", where_, shown(key_), found);
      case State::kMetadata:
        base::fail("'{}': metadata '{}' should be text, not {}", where_, shown(key_), found);
      default:
        base::fail("'{}': tensor '{}' has {} in '{}'", where_, shown(info_.name), found, shown(key_));
    }
  }

  const std::string& where_;
  SafetensorsHeader header_;
  std::unordered_set<std::string> names_;
  State state_ = State::kStart;
  std::string key_;
  TensorInfo info_;
  unsigned seen_ = 0;
  int offsets_ = 0;
  bool has_metadata_ = false;
  bool skip_next_ = false;  // the next value belongs to an unknown key
  size_t skip_depth_ = 0;   // containers we are in below an unknown key
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& where) {
  DS_CHECK(!text.empty() && text.front() == '{', "'{}': the safetensors header is not a JSON object", where);
  // The JSON library takes a NUL for the end of its input and would ignore what follows.
  DS_CHECK(text.find('\0') == text.npos, "'{}': malformed safetensors header: a NUL byte", where);
  HeaderReader reader(where);
  Json::sax_parse(text, &reader);
  return reader.take();
}

std::string format_safetensors_header(const SafetensorsHeader& header, const std::string& where) {
  // Strings go through the library for escaping; the rest is written in the reference writer's order.
  auto quoted = [&](const std::string& value) {
    try {
      return Json(value).dump();
    } catch (const Json::type_error&) {
      base::fail("'{}': a tensor name or metadata text is not valid UTF-8", where);
    }
  };
  std::string text = "{";
  if (!header.metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : header.metadata) {
      if (text.back() != '{') text += ',';
      text += quoted(key) + ':' + quoted(value);
    }
    text += '}';
  }
  for (const TensorInfo& info : header.tensors) {
    if (text.size() > 1) text += ',';
    text += quoted(info.name) + fmt::format(":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                            dtype_name(info.dtype), fmt::join(info.shape, ","), info.begin,
                                            info.end);
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace deepspeed::formats
