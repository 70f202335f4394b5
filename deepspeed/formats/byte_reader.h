// Reading a file's image front to back without ever leaving it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::formats {

/// Little-endian numbers and runs of bytes, one after the other. What would run past the end is an Error that
/// names the file and the offset. Both `image` and `where` must outlive the reader.
class ByteReader {
 public:
  /// `where` names the file in messages; offsets in them count from the start of `image`.
  ByteReader(std::span<const std::byte> image, const std::string& where, size_t at = 0)
      : image_(image), where_(where), at_(at) {}

  size_t at() const { return at_; }
  size_t remaining() const { return image_.size() - at_; }

  /// `what` names the number in messages.
  template <class T>
  T number(const char* what) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    T value;
    std::memcpy(&value, bytes(sizeof value, what).data(), sizeof value);
    return value;
  }
  std::span<const std::byte> bytes(uint64_t count, const char* what) {
    if (count > remaining())
      fail("{} needs {} bytes, but only {} are left: the file is truncated or damaged", what, count,
           remaining());
    const auto taken = image_.subspan(at_, static_cast<size_t>(count));
    at_ += static_cast<size_t>(count);
    return taken;
  }
  std::string_view text(uint64_t count, const char* what) {
    const auto taken = bytes(count, what);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  /// A line's text without its end; `at()` is behind it.
  std::string_view line(const char* what) {
    const std::string_view rest(reinterpret_cast<const char*>(image_.data()) + at_, remaining());
    const size_t end = rest.find('\n');
    if (end == rest.npos) fail("{} has no end", what);
    at_ += end + 1;
    return rest.substr(0, end);
  }

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    fail_at(at_, format, std::forward<Args>(args)...);
  }
  /// The same about another offset.
  template <class... Args>
  [[noreturn]] void fail_at(size_t at, fmt::format_string<Args...> format, Args&&... args) const {
    base::fail("'{}' at byte {}: {}", where_, at, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  std::span<const std::byte> image_;
  const std::string& where_;
  size_t at_;
};

}  // namespace deepspeed::formats
