#include "deepspeed/tensor_parallel/plan.h"

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::tensor_parallel {
namespace {

// As even as whole things allow, the first ranks having one more.
std::vector<Range> split_evenly(Range all, int64_t ranks) {
  std::vector<Range> ranges;
  int64_t begin = all.begin;
  for (int64_t r = 0; r < ranks; ++r) {
    ranges.push_back({begin, all.count / ranks + (r < all.count % ranks ? 1 : 0)});
    begin = ranges.back().end();
  }
  return ranges;
}

void split_heads(const models::ArchSpec& spec, std::vector<Part>& parts) {
  const int64_t group = spec.heads / spec.kv_heads;  // queries of one key-value head
  const auto ranks = static_cast<int64_t>(parts.size());
  if (spec.kv_heads >= ranks) {
    const auto shares = split_evenly({0, spec.kv_heads}, ranks);
    for (size_t r = 0; r < parts.size(); ++r) {
      parts[r].kv_heads = shares[r];
      parts[r].heads = {shares[r].begin * group, shares[r].count * group};
    }
    return;
  }
  const auto sharers = split_evenly({0, ranks}, spec.kv_heads);
  for (int64_t head = 0; head < spec.kv_heads; ++head) {
    const Range& holders = sharers[static_cast<size_t>(head)];
    const auto queries = split_evenly({head * group, group}, holders.count);
    for (int64_t i = 0; i < holders.count; ++i) {
      Part& part = parts[static_cast<size_t>(holders.begin + i)];
      part.kv_heads = {head, 1};
      part.heads = queries[static_cast<size_t>(i)];
    }
  }
}

void split_columns(const char* what, int64_t size, int64_t grain, Range Part::*range,
                   std::vector<Part>& parts) {
  if (size == 0) return;
  const int ranks = static_cast<int>(parts.size());
  DS_CHECK(size >= ranks, "{} of {} columns cannot be cut over {} ranks", what, size, ranks);
  const auto shares = split_by_grain(size, ranks, grain);
  for (size_t r = 0; r < parts.size(); ++r) parts[r].*range = shares[r];
}

// The last `count` parts of a dotted name, as one text.
std::string ending(const std::string& name, int count) {
  size_t begin = name.size();
  for (int i = 0; i < count && begin != std::string::npos; ++i) begin = name.rfind('.', begin - 1);
  return begin == std::string::npos ? name : name.substr(begin + 1);
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

// What a parameter belongs to: "layers.3.moe.experts.7.up.weight" is "up" of "7".
struct Place {
  std::string owner, layer, leaf;
};
Place place_of(const std::string& name) {
  const auto part = [&](int last) {
    const std::string text = ending(name, last);
    return text.substr(0, text.find('.'));
  };
  return {part(3), part(2), part(1)};
}

Range Part::*columns_of(const std::string& owner) {
  if (owner == "mlp") return &Part::intermediate;
  if (owner == "shared") return &Part::shared_expert;
  return is_number(owner) ? &Part::expert : nullptr;
}

bool is_attention(const std::string& owner) { return owner == "attention" || owner == "cross_attention"; }

bool is_token_table(const std::string& name) {
  for (const char* table : {"embedding.weight", "encoder.embedding.weight", "head.weight", "head.bias",
                            "head.decoder.weight", "decoder.head.weight"})
    if (name == table) return true;
  return false;
}

}  // namespace

std::vector<Range> split_by_grain(int64_t size, int ranks, int64_t grain) {
  DS_CHECK(grain > 0 && ranks > 0, "a grain of {} over {} ranks: both must be positive", grain, ranks);
  if (size < grain) grain = 1;
  while (grain > 1 && size / grain < ranks) grain /= 2;
  std::vector<Range> ranges = split_evenly({0, size / grain}, ranks);
  for (Range& range : ranges) range = {range.begin * grain, range.count * grain};
  ranges.back().count = size - ranges.back().begin;
  return ranges;
}

Plan::Plan(const models::ArchSpec& spec, int ranks, const Options& options)
    : heads_(spec.heads),
      kv_heads_(spec.kv_heads),
      head_dim_(spec.head_dim),
      in_out_(spec.order == nn::WeightOrder::kInOut),
      cut_vocabulary_(options.vocabulary && ranks > 1),
      copies_keys_(spec.kv_heads < ranks) {
  DS_CHECK(ranks > 0, "a model cannot be cut over {} ranks", ranks);
  DS_CHECK(options.grain > 0, "tp_grain_size {} must be positive", options.grain);
  DS_CHECK(ranks <= spec.heads, "{} attention heads cannot be cut over {} ranks: at most one rank a head",
           spec.heads, ranks);
  DS_CHECK(spec.experts.count == 0 || !spec.mlp_bias,
           "experts with biases are not available yet over several ranks");
  parts_.resize(static_cast<size_t>(ranks));
  split_heads(spec, parts_);
  split_columns("an MLP", spec.intermediate, options.grain, &Part::intermediate, parts_);
  split_columns("an expert", spec.experts.intermediate, options.grain, &Part::expert, parts_);
  split_columns("a shared expert", spec.experts.shared_intermediate, options.grain, &Part::shared_expert,
                parts_);
  for (Part& part : parts_) part.vocabulary = {0, spec.vocab};
  if (cut_vocabulary_) split_columns("a vocabulary", spec.vocab, options.grain, &Part::vocabulary, parts_);
}

Plan::Cut Plan::cut_of(const std::string& name, const Part& part) const {
  const Place place = place_of(name);
  const auto rows = [&](const Range& heads, int64_t heads_before = 0) {
    return Range{(heads_before + heads.begin) * head_dim_, heads.count * head_dim_};
  };
  if (is_token_table(name)) return cut_vocabulary_ ? Cut{{part.vocabulary}} : Cut{};
  if (place.layer == "relative") return {{part.heads}};
  if (is_attention(place.owner)) {
    if (place.layer == "query" || place.layer == "distance_query") return {{rows(part.heads)}, true};
    if (place.layer == "key" || place.layer == "value" || place.layer == "distance_key")
      return {{rows(part.kv_heads)}, true};
    if (place.layer == "qkv")
      return {{rows(part.heads), rows(part.kv_heads, heads_), rows(part.kv_heads, heads_ + kv_heads_)}, true};
    if (place.layer == "output" && place.leaf == "weight") return {{rows(part.heads)}};
  } else if (const auto range = columns_of(place.owner)) {
    if (place.layer == "gate" || place.layer == "up") return {{part.*range}, true};
    if (place.layer == "down" && place.leaf == "weight") return {{part.*range}};
  }
  return {};
}

Slice Plan::slice(const std::string& name, const std::vector<int64_t>& shape, int rank) const {
  Slice slice{shape, std::nullopt, {}};
  if (ranks() == 1) return slice;
  const Cut cut = cut_of(name, part(rank));
  if (cut.ranges.empty()) return slice;
  slice.ranges = cut.ranges;
  slice.dim = is_token_table(name) || shape.size() == 1 || cut.outputs != in_out_ ? 0 : 1;
  return slice;
}

bool Plan::sees_some_heads(const std::string& name) const {
  const Place place = place_of(name);
  return ranks() > 1 && is_attention(place.owner) && place.layer.ends_with("_norm");
}

std::optional<size_t> Plan::first_copy(const std::string& name) const {
  const Place place = place_of(name);
  if (!copies_keys_ || !is_attention(place.owner)) return std::nullopt;
  if (place.layer == "qkv") return 1;
  if (place.layer == "key" || place.layer == "value") return 0;
  return std::nullopt;
}

}  // namespace deepspeed::tensor_parallel
