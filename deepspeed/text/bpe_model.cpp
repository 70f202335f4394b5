#include "deepspeed/text/bpe_model.h"

#include <algorithm>
#include <queue>

#include "deepspeed/base/error.h"
#include "deepspeed/text/byte_alphabet.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct Candidate {
  uint32_t rank;
  int32_t position;
  int32_t id;
  // Lowest rank first, then leftmost.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

BpeModel::BpeModel(BpeOptions options) : options_(std::move(options)) {
  for (const auto& [token, id] : options_.vocabulary) {
    const auto [entry, is_new] = tokens_.try_emplace(id, &token);
    DS_CHECK(is_new, "{}: model.vocab: {} and {} both have id {}; give each token its own", options_.where,
             quote(token), quote(*entry->second), id);
  }
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids_[static_cast<size_t>(byte)] = id_of(byte_character(static_cast<uint8_t>(byte))).value_or(-1);
  }
  add_merges();
}

void BpeModel::add_merges() {
  merges_.reserve(options_.merges.size());
  for (size_t rank = 0; rank < options_.merges.size(); ++rank) {
    const std::string& left = options_.merges[rank].first;  // clang 14 captures no structured binding
    const std::string& right = options_.merges[rank].second;
    const auto id = [&](const std::string& token) {
      const auto found = id_of(token);
      DS_CHECK(found, "{}: model.merges[{}] ({}, {}) needs {}, which model.vocab lacks", options_.where, rank,
               quote(left), quote(right), quote(token));
      return *found;
    };
    const uint64_t key = pair_key(id(left), id(right));
    merges_.insert_or_assign(key, Merge{static_cast<uint32_t>(rank), id(left + right)});
  }
  options_.merges = {};
}

std::optional<int32_t> BpeModel::id_of(std::string_view token) const {
  const auto found = options_.vocabulary.find(token);
  if (found == options_.vocabulary.end()) return std::nullopt;
  return found->second;
}

const std::string* BpeModel::token_of(int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : found->second;
}

const BpeModel::Merge* BpeModel::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BpeModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  if (options_.ignore_merges) {
    const std::string spelled = to_byte_characters(piece);
    if (const auto id = id_of(spelled)) {
      out.push_back({*id, static_cast<uint32_t>(spelled.size())});
      return;
    }
  }
  std::vector<Node> nodes;
  spell(piece, nodes);
  merge_all(nodes);
  for (const Node& node : nodes) {
    if (node.width != 0) out.push_back({node.id, node.width});
  }
}

// One node a byte. Bytes that the vocabulary lacks become the unknown token, or vanish where there is none;
// the symbols after them then claim their place, as tokenizers has it.
void BpeModel::spell(std::string_view piece, std::vector<Node>& nodes) const {
  nodes.reserve(piece.size());
  bool after_unknown = false;
  for (const char c : piece) {
    const auto byte = static_cast<uint8_t>(c);
    const auto width = static_cast<uint32_t>(byte_character(byte).size());
    int32_t id = byte_ids_[byte];
    const bool unknown = id < 0;
    if (unknown) {
      if (!options_.unknown_token) continue;
      const auto found = id_of(*options_.unknown_token);
      DS_CHECK(found, "{}: model.vocab lacks byte 0x{:02x} and model.unk_token {} as well", options_.where,
               byte, quote(*options_.unknown_token));
      id = *found;
    }
    if (unknown && after_unknown && options_.fuse_unknown) {
      nodes.back().width += width;
    } else {
      nodes.push_back({id, width, 0, 0});
    }
    after_unknown = unknown;
  }
  const auto count = static_cast<int32_t>(nodes.size());
  for (int32_t i = 0; i < count; ++i) {
    nodes[static_cast<size_t>(i)].previous = i - 1;
    nodes[static_cast<size_t>(i)].next = i + 1 < count ? i + 1 : -1;
  }
}

void BpeModel::merge_all(std::vector<Node>& nodes) const {
  std::vector<Candidate> initial;
  for (size_t i = 0; i + 1 < nodes.size(); ++i) {
    if (const Merge* merge = find_merge(nodes[i].id, nodes[i + 1].id)) {
      initial.push_back({merge->rank, static_cast<int32_t>(i), merge->id});
    }
  }
  std::priority_queue<Candidate> queue(std::less<Candidate>{}, std::move(initial));
  const auto consider = [&](int32_t left, int32_t right) {
    const Merge* merge =
        find_merge(nodes[static_cast<size_t>(left)].id, nodes[static_cast<size_t>(right)].id);
    if (merge != nullptr) queue.push({merge->rank, left, merge->id});
  };
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Node& left = nodes[static_cast<size_t>(top.position)];
    if (left.width == 0 || left.next < 0) continue;
    Node& right = nodes[static_cast<size_t>(left.next)];
    const Merge* merge = find_merge(left.id, right.id);
    if (merge == nullptr || merge->id != top.id) continue;  // an earlier merge took a part of this one
    left.id = top.id;
    left.width += right.width;
    left.next = right.next;
    right.width = 0;
    if (left.next >= 0) nodes[static_cast<size_t>(left.next)].previous = top.position;
    if (left.previous >= 0) consider(left.previous, top.position);
    if (left.next >= 0) consider(top.position, left.next);
  }
}

}  // namespace deepspeed::text
