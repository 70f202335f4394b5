#include "deepspeed/text/scored_bpe.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

ScoredBpeModel::ScoredBpeModel(ScoredBpeOptions options) : options_(std::move(options)) {
  const auto& tokens = options_.tokens;
  ids_.reserve(tokens.size());
  joinable_.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const auto [known, is_new] = ids_.emplace(tokens[i].text, id);
    DS_CHECK(is_new, "{}: tokens {} and {} both read {}", options_.where, known->second, id,
             quote(tokens[i].text));
    DS_CHECK(!std::isnan(tokens[i].score), "{}: the score of token {} is not a number", options_.where, id);
    if (tokens[i].joins) joinable_.emplace(tokens[i].text, id);
  }
  for (int byte = 0; byte < 256; ++byte)
    byte_ids_[static_cast<size_t>(byte)] = id_of(byte_token(static_cast<uint8_t>(byte))).value_or(-1);
}

std::optional<int32_t> ScoredBpeModel::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* ScoredBpeModel::token_of(int32_t id) const {
  return id < 0 || id >= size() ? nullptr : &options_.tokens[static_cast<size_t>(id)].text;
}

int32_t ScoredBpeModel::joinable(std::string_view text) const {
  const auto found = joinable_.find(text);
  return found == joinable_.end() ? -1 : found->second;
}

bool ScoredBpeModel::may_cut_before(std::string_view marker) const {
  return joinable(marker) >= 0 &&
         std::none_of(options_.tokens.begin(), options_.tokens.end(), [&](const auto& token) {
           if (!token.joins) return false;
           const std::string_view text = token.text;
           for (size_t at = text.find(marker, 1); at != std::string_view::npos;
                at = text.find(marker, at + 1))
             if (!text.substr(0, at).ends_with(marker)) return true;
           return false;
         });
}

void ScoredBpeModel::join(std::string_view piece, std::vector<Node>& nodes, Steps& steps) const {
  std::priority_queue<Pair> queue;
  const auto consider = [&](int32_t left) {
    const Node& a = nodes[static_cast<size_t>(left)];
    if (a.next < 0) return;
    const Node& b = nodes[static_cast<size_t>(a.next)];
    const std::string_view text = piece.substr(a.begin, b.end - a.begin);
    const int32_t id = joinable(text);
    if (id < 0) return;
    const auto& token = options_.tokens[static_cast<size_t>(id)];
    queue.push({token.score, left, b.end});
    if (token.unused) steps[text] = a.end - a.begin;
  };
  for (size_t i = 0; i + 1 < nodes.size(); ++i) consider(static_cast<int32_t>(i));
  while (!queue.empty()) {
    const Pair top = queue.top();
    queue.pop();
    Node& left = nodes[static_cast<size_t>(top.left)];
    if (left.begin == left.end || left.next < 0) continue;
    Node& right = nodes[static_cast<size_t>(left.next)];
    if (right.end != top.end || left.end != right.begin) continue;  // an earlier one took a part of it
    left.end = right.end;
    left.next = right.next;
    right.begin = right.end;
    if (left.next >= 0) nodes[static_cast<size_t>(left.next)].previous = top.left;
    if (left.previous >= 0) consider(left.previous);
    consider(top.left);
  }
}

void ScoredBpeModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  thread_local std::vector<Node> nodes;
  nodes.clear();
  for (size_t at = 0; at < piece.size();) {
    const size_t end = at + std::min(utf8_length(piece[at]), piece.size() - at);
    const auto index = static_cast<int32_t>(nodes.size());
    nodes.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(end), index - 1, index + 1});
    at = end;
  }
  if (nodes.empty()) return;
  nodes.back().next = -1;
  Steps steps;
  join(piece, nodes, steps);
  for (const Node& node : nodes)
    if (node.begin < node.end) append(piece, node.begin, node.end, steps, out);
}

void ScoredBpeModel::append(std::string_view piece, uint32_t begin, uint32_t end, const Steps& steps,
                            std::vector<Symbol>& out) const {
  const std::string_view text = piece.substr(begin, end - begin);
  const int32_t id = joinable(text);
  if (id < 0) return append_unknown(piece, begin, end, out);
  const auto step = options_.tokens[static_cast<size_t>(id)].unused ? steps.find(text) : steps.end();
  if (step == steps.end()) {
    out.push_back({id, begin, end});
    return;
  }
  const auto middle = begin + static_cast<uint32_t>(step->second);
  append(piece, begin, middle, steps, out);
  append(piece, middle, end, steps, out);
}

void ScoredBpeModel::append_unknown(std::string_view piece, uint32_t begin, uint32_t end,
                                    std::vector<Symbol>& out) const {
  const std::string_view text = piece.substr(begin, end - begin);
  const auto id_of_byte = [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
  if (std::all_of(text.begin(), text.end(), [&](char byte) { return id_of_byte(byte) >= 0; })) {
    for (uint32_t at = begin; at < end; ++at) out.push_back({id_of_byte(piece[at]), at, at + 1});
    return;
  }
  DS_CHECK(options_.unknown_id, "{}: no token reads {}, and there is no unknown token", options_.where,
           quote(text));
  if (!out.empty() && out.back().id == *options_.unknown_id && out.back().end == begin && begin > 0)
    out.back().end = end;
  else
    out.push_back({*options_.unknown_id, begin, end, /*as_written=*/true});
}

}  // namespace deepspeed::text
