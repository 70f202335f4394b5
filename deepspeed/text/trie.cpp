#include "deepspeed/text/trie.h"

#include <algorithm>

namespace deepspeed::text {
namespace {

// Entries [begin, end), which share their first `depth` bytes, hang below `node`.
struct Work {
  size_t node, begin, end, depth;
};

}  // namespace

Trie::Trie(const std::vector<std::pair<std::string_view, int32_t>>& entries) {
  if (entries.empty()) return;
  nodes_.resize(1024);
  size_t first_free = 1;
  std::vector<bool> base_taken(1024);
  std::vector<Work> stack{{0, 0, entries.size(), 0}};
  std::vector<std::pair<unsigned char, size_t>> children;  // byte, its first entry
  const auto is_free = [&](size_t at) { return at >= nodes_.size() || nodes_[at].parent == ~uint32_t{0}; };
  while (!stack.empty()) {
    const Work work = stack.back();
    stack.pop_back();
    children.clear();
    for (size_t i = work.begin; i < work.end; ++i) {
      const std::string_view text = entries[i].first;
      if (text.size() == work.depth) {
        nodes_[work.node].value = entries[i].second;
        continue;
      }
      const auto byte = static_cast<unsigned char>(text[work.depth]);
      if (children.empty() || children.back().first != byte) children.emplace_back(byte, i);
    }
    if (children.empty()) continue;
    while (!is_free(first_free)) ++first_free;
    size_t base = first_free > children[0].first ? first_free - children[0].first : 1;
    size_t tried = 0;
    const auto fits = [&] {
      return (base >= base_taken.size() || !base_taken[base]) &&
             std::all_of(children.begin(), children.end(),
                         [&](const auto& c) { return is_free(base + c.first); });
    };
    while (!fits()) ++base, ++tried;
    if (tried > 64)
      first_free += tried / 16;  // dense here: leave some places empty rather than look at them again
    if (base + 256 >= nodes_.size()) {
      nodes_.resize(std::max(nodes_.size() * 2, base + 512));
      base_taken.resize(nodes_.size());
    }
    base_taken[base] = true;
    nodes_[work.node].base = static_cast<uint32_t>(base);
    for (size_t i = 0; i < children.size(); ++i) {
      const size_t place = base + children[i].first;
      nodes_[place].parent = static_cast<uint32_t>(work.node);
      stack.push_back({place, children[i].second, i + 1 < children.size() ? children[i + 1].second : work.end,
                       work.depth + 1});
    }
  }
  while (nodes_.size() > 1 && nodes_.back().parent == ~uint32_t{0}) nodes_.pop_back();
}

}  // namespace deepspeed::text
