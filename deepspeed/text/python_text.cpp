#include "deepspeed/text/python_text.h"

#include <unicode/ustring.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

// ICU's full case mapping; `convert` is u_strToUpper or its like with root locale.
template <typename Convert>
std::string converted(const std::string& text, const Convert& convert) {
  UErrorCode error = U_ZERO_ERROR;
  std::u16string in(text.size(), u'\0');
  int32_t length = 0;
  u_strFromUTF8(in.data(), static_cast<int32_t>(in.size()), &length, text.data(),
                static_cast<int32_t>(text.size()), &error);
  in.resize(static_cast<size_t>(length));
  std::u16string out(in.size() * 3 + 1, u'\0');
  length = convert(out.data(), static_cast<int32_t>(out.size()), in.data(), static_cast<int32_t>(in.size()),
                   &error);
  DS_CHECK(U_SUCCESS(error), "changing the case of a text failed: {}", u_errorName(error));
  out.resize(static_cast<size_t>(length));
  std::string utf8(out.size() * 3, '\0');
  u_strToUTF8(utf8.data(), static_cast<int32_t>(utf8.size()), &length, out.data(),
              static_cast<int32_t>(out.size()), &error);
  utf8.resize(static_cast<size_t>(length));
  return utf8;
}

}  // namespace

bool python_is_space(uint32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

bool python_is_ascii(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 127; });
}

std::string python_upper(const std::string& text) {
  if (!python_is_ascii(text))
    return converted(text, [](auto* out, auto room, const auto* in, auto size, auto* e) {
      return u_strToUpper(out, room, in, size, "", e);
    });
  std::string out = text;
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return out;
}

std::string python_lower(const std::string& text) {
  if (!python_is_ascii(text))
    return converted(text, [](auto* out, auto room, const auto* in, auto size, auto* e) {
      return u_strToLower(out, room, in, size, "", e);
    });
  std::string out = text;
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

std::string python_capitalize(const std::string& text) {
  if (text.empty()) return "";
  const size_t first = utf8_length(text[0]);
  DS_CHECK(first == 1, "capitalizing a character beyond ASCII is not supported");
  return python_upper(text.substr(0, first)) + python_lower(text.substr(first));
}

std::string python_strip(const std::string& text, const std::string* characters, bool left, bool right) {
  const auto goes = [&](uint32_t c) {
    if (characters == nullptr) return python_is_space(c);
    for (size_t at = 0; at < characters->size();)
      if (next_code_point(*characters, at) == c) return true;
    return false;
  };
  size_t begin = 0, end = text.size();
  for (size_t at = 0; left && at < end && goes(next_code_point(text, at));) begin = at;
  for (size_t at = end; right && at > begin && goes(previous_code_point(text, at));) end = at;
  return text.substr(begin, end - begin);
}

std::string python_replace(const std::string& text, const std::string& from, const std::string& to,
                           int64_t count) {
  std::string out;
  size_t done = 0;
  if (from.empty()) {
    for (size_t at = 0; count != 0; --count) {
      out += to;
      if (at >= text.size()) return out;
      const size_t width = utf8_length(text[at]);
      out.append(text, at, width);
      done = at += width;
    }
    return out.append(text, done);
  }
  for (size_t at = text.find(from); at != std::string::npos && count != 0;
       at = text.find(from, done), --count) {
    out.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  return out.append(text, done);
}

std::vector<std::string> python_split_lines(const std::string& text) {
  std::vector<std::string> out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const uint32_t c = next_code_point(text, at);
    const bool ends =
        (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    out.push_back(text.substr(begin, here - begin));
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    begin = at;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

std::vector<std::string> python_split_spaces(const std::string& text, int64_t most) {
  std::vector<std::string> out;
  size_t at = 0;
  while (true) {
    for (size_t next = at; next < text.size() && python_is_space(next_code_point(text, next)); at = next) {
    }
    if (at >= text.size()) return out;
    if (most >= 0 && static_cast<int64_t>(out.size()) == most) {
      out.push_back(python_strip(text.substr(at), nullptr, false, true));
      return out;
    }
    const size_t begin = at;
    for (size_t next = at; next < text.size() && !python_is_space(next_code_point(text, next)); at = next) {
    }
    out.push_back(text.substr(begin, at - begin));
  }
}

std::vector<std::string> python_split(const std::string& text, const std::string& separator, int64_t most) {
  DS_CHECK(!separator.empty(), "split() needs a separator that is not empty");
  std::vector<std::string> out;
  size_t begin = 0;
  for (size_t at = text.find(separator); at != std::string::npos && most != static_cast<int64_t>(out.size());
       at = text.find(separator, begin)) {
    out.push_back(text.substr(begin, at - begin));
    begin = at + separator.size();
  }
  out.push_back(text.substr(begin));
  return out;
}

std::vector<std::string> python_split_from_right(const std::string& text, const std::string& separator,
                                                 int64_t most) {
  DS_CHECK(!separator.empty(), "rsplit() needs a separator that is not empty");
  std::vector<std::string> out;
  size_t end = text.size();
  while (most < 0 || static_cast<int64_t>(out.size()) < most) {
    const size_t at =
        end < separator.size() ? std::string::npos : text.rfind(separator, end - separator.size());
    if (at == std::string::npos) break;
    out.push_back(text.substr(at + separator.size(), end - at - separator.size()));
    end = at;
  }
  out.push_back(text.substr(0, end));
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace deepspeed::text
