// A set of texts with numbers, searched for all that begin another text: a double array (Aoe 1989).
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace deepspeed::text {

class Trie {
 public:
  Trie() = default;
  /// `entries`: distinct, not empty, sorted by text, numbers not negative.
  explicit Trie(const std::vector<std::pair<std::string_view, int32_t>>& entries);

  /// Calls found(length, number) for every entry that `text` starts with, the shortest first.
  template <typename Found>
  void prefixes(std::string_view text, const Found& found) const {
    if (nodes_.empty()) return;
    size_t node = 0;
    for (size_t at = 0; at < text.size(); ++at) {
      const size_t next = nodes_[node].base + static_cast<unsigned char>(text[at]);
      if (next >= nodes_.size() || nodes_[next].parent != node) return;
      node = next;
      if (nodes_[node].value >= 0) found(at + 1, nodes_[node].value);
    }
  }

 private:
  struct Node {
    uint32_t base = 0;
    uint32_t parent = ~uint32_t{0};  // of empty places, and of the root
    int32_t value = -1;
  };
  std::vector<Node> nodes_;
};

}  // namespace deepspeed::text
