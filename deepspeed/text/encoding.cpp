#include "deepspeed/text/encoding.h"

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::text {
namespace {

template <typename Operation>
void for_each_column(Encoding& to, const Encoding& from, const Operation& operation) {
  operation(to.ids, from.ids);
  operation(to.tokens, from.tokens);
  operation(to.offsets, from.offsets);
  operation(to.type_ids, from.type_ids);
  operation(to.special_tokens_mask, from.special_tokens_mask);
  operation(to.attention_mask, from.attention_mask);
  operation(to.sequences, from.sequences);
  operation(to.words, from.words);
}

void append_tokens(Encoding& to, const Encoding& from) {
  for_each_column(to, from, [](auto& t, const auto& f) { t.insert(t.end(), f.begin(), f.end()); });
}

Encoding slice(const Encoding& from, size_t begin, size_t end) {
  Encoding out;
  for_each_column(out, from, [&](auto& t, const auto& f) {
    t.assign(f.begin() + static_cast<ptrdiff_t>(begin), f.begin() + static_cast<ptrdiff_t>(end));
  });
  return out;
}

Encoding without_overflow(const Encoding& from) { return slice(from, 0, from.size()); }

std::vector<std::pair<size_t, size_t>> windows(size_t size, size_t length, size_t step, bool from_left) {
  std::vector<std::pair<size_t, size_t>> out;
  for (size_t done = 0; done < size; done += step) {
    const size_t begin = from_left ? size - done - std::min(size - done, length) : done;
    out.emplace_back(begin, from_left ? size - done : std::min(done + length, size));
    if (from_left ? begin == 0 : out.back().second == size) break;
  }
  return out;
}

// How many tokens of each are left when the longer gives way first.
std::pair<size_t, size_t> longest_first(size_t first, size_t second, size_t max_length) {
  const bool swapped = first > second;
  if (swapped) std::swap(first, second);
  second = first > max_length ? first : std::max(first, max_length - first);
  if (first + second > max_length) {
    first = max_length / 2;
    second = first + max_length % 2;
  }
  if (swapped) std::swap(first, second);
  return {first, second};
}

void fill(Encoding& encoding, size_t length, const Padding& padding) {
  for (Encoding& other : encoding.overflowing) fill(other, length, padding);
  if (encoding.size() >= length) return;
  const size_t count = length - encoding.size();
  const auto add = [&](auto& column, const auto& value) {
    column.insert(padding.on_left ? column.begin() : column.end(), count, value);
  };
  add(encoding.ids, padding.id);
  add(encoding.tokens, padding.token);
  add(encoding.offsets, std::pair<size_t, size_t>{});
  add(encoding.type_ids, padding.type_id);
  add(encoding.special_tokens_mask, uint8_t{1});
  add(encoding.attention_mask, uint8_t{0});
  add(encoding.sequences, int32_t{-1});
  add(encoding.words, int32_t{-1});
}

}  // namespace

void truncate(Encoding& encoding, size_t max_length, size_t stride, bool from_left) {
  if (max_length >= encoding.size()) return;
  if (max_length == 0) {
    Encoding empty;
    empty.overflowing.push_back(std::move(encoding));
    encoding = std::move(empty);
    return;
  }
  DS_CHECK(stride < max_length, "truncation: the stride {} must be less than the {} tokens that are left",
           stride, max_length);
  const auto parts = windows(encoding.size(), max_length, max_length - stride, from_left);
  Encoding out = slice(encoding, parts[0].first, parts[0].second);
  for (size_t i = 1; i < parts.size(); ++i)
    out.overflowing.push_back(slice(encoding, parts[i].first, parts[i].second));
  encoding = std::move(out);
}

void truncate(Encoding& first, Encoding* second, const Truncation& truncation, size_t added) {
  using Strategy = Truncation::Strategy;
  DS_CHECK(truncation.max_length >= added, "truncation: a length of {} has no room for {} special tokens",
           truncation.max_length, added);
  const size_t max_length = truncation.max_length - added;
  const auto cut = [&](Encoding& encoding, size_t length) {
    truncate(encoding, length, truncation.stride, truncation.from_left);
  };
  const size_t total = first.size() + (second != nullptr ? second->size() : 0);
  if (max_length == 0) {
    cut(first, 0);
    if (second != nullptr) cut(*second, 0);
    return;
  }
  if (total <= max_length) return;
  if (truncation.strategy == Strategy::kLongestFirst) {
    if (second == nullptr) return cut(first, max_length);
    const auto [a, b] = longest_first(first.size(), second->size(), max_length);
    cut(first, a);
    return cut(*second, b);
  }
  const bool cuts_first = truncation.strategy == Strategy::kOnlyFirst;
  DS_CHECK(cuts_first || second != nullptr, "truncation: there is no second text to truncate");
  Encoding& target = cuts_first ? first : *second;
  const size_t excess = total - max_length;
  DS_CHECK(target.size() > excess, "truncation: the {} text's {} tokens are too few to remove {}",
           cuts_first ? "first" : "second", target.size(), excess);
  cut(target, target.size() - excess);
}

void pad(std::span<Encoding> batch, const Padding& padding) {
  size_t length = padding.length.value_or(0);
  if (!padding.length)
    for (const Encoding& encoding : batch) length = std::max(length, encoding.size());
  if (const size_t multiple = padding.multiple_of.value_or(0); multiple > 0 && length % multiple > 0)
    length += multiple - length % multiple;
  for (Encoding& encoding : batch) fill(encoding, length, padding);
}

void append(Encoding& to, const Encoding& from) {
  std::vector<Encoding> overflowing;
  const auto combine = [&](const Encoding& left, const Encoding& right) {
    append_tokens(overflowing.emplace_back(without_overflow(left)), right);
  };
  for (const Encoding& mine : to.overflowing) {
    combine(mine, from);
    for (const Encoding& other : from.overflowing) combine(mine, other);
  }
  for (const Encoding& other : from.overflowing) combine(to, other);
  append_tokens(to, from);
  to.overflowing = std::move(overflowing);
}

}  // namespace deepspeed::text
