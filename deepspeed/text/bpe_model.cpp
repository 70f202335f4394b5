#include "deepspeed/text/bpe_model.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "deepspeed/base/error.h"
#include "deepspeed/text/byte_alphabet.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr uint64_t kNoPair = ~uint64_t{0};
constexpr size_t kFewSymbols = 24;  // up to here scanning for the best merge beats a heap

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

size_t place_of(uint64_t key, size_t mask) {
  key *= 0x9E3779B97F4A7C15u;
  return static_cast<size_t>(key ^ key >> 32) & mask;
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
  tokens_ = TokenTable(std::exchange(options_.vocabulary, {}), options_.where);
  for (int byte = 0; byte < 256; ++byte) {
    const auto value = static_cast<uint8_t>(byte);
    const std::string token = options_.byte_level ? std::string(byte_character(value)) : byte_token(value);
    byte_ids_[value] = id_of(token).value_or(-1);
  }
  add_merges();
}

void BpeModel::add_merges() {
  merges_.assign(std::bit_ceil(options_.merges.size() * 2 + 1), {kNoPair, 0, 0});
  std::string joined;
  for (size_t rank = 0; rank < options_.merges.size(); ++rank) {
    const std::string& left = options_.merges[rank].first;  // clang 14 captures no structured binding
    const std::string& right = options_.merges[rank].second;
    const auto id = [&](const std::string& token) {
      const auto found = id_of(token);
      DS_CHECK(found, "{}: model.merges[{}] ({}, {}) needs {}, which model.vocab lacks", options_.where, rank,
               quote(left), quote(right), quote(token));
      return *found;
    };
    joined.assign(left).append(right);
    insert({pair_key(id(left), id(right)), static_cast<uint32_t>(rank), id(joined)});
  }
  if (options_.byte_level) options_.merges = {};
}

// A pair that is listed twice has its last place.
void BpeModel::insert(const Merge& merge) {
  size_t at = place_of(merge.key, merges_.size() - 1);
  while (merges_[at].key != kNoPair && merges_[at].key != merge.key) at = (at + 1) & (merges_.size() - 1);
  if (merges_[at].key == kNoPair) ++merge_count_;
  merges_[at] = merge;
}

const BpeModel::Merge* BpeModel::find_merge(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  for (size_t at = place_of(key, merges_.size() - 1);; at = (at + 1) & (merges_.size() - 1)) {
    if (merges_[at].key == key) return &merges_[at];
    if (merges_[at].key == kNoPair) return nullptr;
  }
}

bool BpeModel::may_cut_before(std::string_view marker) const {
  if (options_.byte_level || options_.ignore_merges || !id_of(marker)) return false;
  return std::none_of(options_.merges.begin(), options_.merges.end(), [&](const auto& merge) {
    return merge.second.starts_with(marker) && !merge.first.ends_with(marker);
  });
}

void BpeModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  if (options_.ignore_merges) {
    const std::string spelled = options_.byte_level ? to_byte_characters(piece) : std::string(piece);
    if (const auto id = id_of(spelled)) {
      out.push_back({*id, 0, static_cast<uint32_t>(spelled.size())});
      return;
    }
  }
  thread_local std::vector<Node> nodes;
  nodes.clear();
  spell(piece, nodes);
  if (nodes.size() <= kFewSymbols)
    merge_few(nodes);
  else
    merge_all(nodes);
  uint32_t begin = 0;
  for (const Node& node : nodes) {
    if (node.width == 0) continue;
    out.push_back({node.id, begin, begin + node.width});
    begin += node.width;
  }
}

int32_t BpeModel::unknown_id(std::string_view character) const {
  const auto found = id_of(*options_.unknown_token);
  if (found) return *found;
  if (options_.byte_level) {
    base::fail("{}: model.vocab lacks byte 0x{:02x} and model.unk_token {} as well", options_.where,
               static_cast<uint8_t>(character[0]), quote(*options_.unknown_token));
  }
  base::fail("{}: model.vocab lacks {} and model.unk_token {} as well", options_.where, quote(character),
             quote(*options_.unknown_token));
}

bool BpeModel::spell_bytes(std::string_view character, std::vector<Node>& nodes) const {
  const auto id_of_byte = [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
  if (std::any_of(character.begin(), character.end(), [&](char byte) { return id_of_byte(byte) < 0; }))
    return false;
  for (const char byte : character) nodes.push_back({id_of_byte(byte), 1, 0, 0});
  return true;
}

int32_t BpeModel::id_of_character(std::string_view character) const {
  return options_.byte_level ? byte_ids_[static_cast<uint8_t>(character[0])] : id_of(character).value_or(-1);
}

// One node a byte or character. What the vocabulary lacks becomes its bytes, or the unknown token, or
// vanishes where there is none; the symbols after it then claim its place. An unknown token is written when
// the next character is known, hence after the bytes of one that falls back. All this as tokenizers has it.
void BpeModel::spell(std::string_view piece, std::vector<Node>& nodes) const {
  nodes.reserve(piece.size());
  std::optional<Node> unknown;
  for (size_t at = 0; at < piece.size();) {
    const std::string_view character =
        piece.substr(at, options_.byte_level ? 1 : std::min(utf8_length(piece[at]), piece.size() - at));
    at += character.size();
    const auto width = static_cast<uint32_t>(
        options_.byte_level ? byte_character(static_cast<uint8_t>(character[0])).size() : character.size());
    if (const int32_t id = id_of_character(character); id >= 0) {
      if (unknown) nodes.push_back(*std::exchange(unknown, std::nullopt));
      nodes.push_back({id, width, 0, 0});
      continue;
    }
    if (options_.byte_fallback && !options_.byte_level && spell_bytes(character, nodes)) continue;
    if (!options_.unknown_token) continue;
    if (unknown && options_.fuse_unknown) {
      unknown->width += width;
    } else {
      if (unknown) nodes.push_back(*unknown);
      unknown = Node{unknown_id(character), width, 0, 0};
    }
  }
  if (unknown) nodes.push_back(*unknown);
  const auto count = static_cast<int32_t>(nodes.size());
  for (int32_t i = 0; i < count; ++i) {
    nodes[static_cast<size_t>(i)].previous = i - 1;
    nodes[static_cast<size_t>(i)].next = i + 1 < count ? i + 1 : -1;
  }
}

// Keeps the nodes dense, and the best merge of each with its successor beside them.
void BpeModel::merge_few(std::vector<Node>& nodes) const {
  std::array<const Merge*, kFewSymbols> merges{};
  size_t count = nodes.size();
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = find_merge(nodes[i].id, nodes[i + 1].id);
  while (count > 1) {
    size_t best = count;
    for (size_t i = 0; i + 1 < count; ++i)
      if (merges[i] != nullptr && (best == count || merges[i]->rank < merges[best]->rank)) best = i;
    if (best == count) break;
    nodes[best].id = merges[best]->id;
    nodes[best].width += nodes[best + 1].width;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      nodes[i] = nodes[i + 1];
      merges[i] = merges[i + 1];
    }
    --count;
    if (best > 0) merges[best - 1] = find_merge(nodes[best - 1].id, nodes[best].id);
    merges[best] = best + 1 < count ? find_merge(nodes[best].id, nodes[best + 1].id) : nullptr;
  }
  nodes.resize(count);
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
