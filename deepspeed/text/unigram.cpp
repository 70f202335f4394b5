#include "deepspeed/text/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

constexpr double kUnknownPenalty = 10;  // below the rarest token
constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();

}  // namespace

// The best path to a byte of the piece: the token that ends there.
struct UnigramModel::Step {
  double score = 0;
  uint32_t begin = kNowhere;
  int32_t id = 0;
};

UnigramModel::UnigramModel(UnigramOptions options) : options_(std::move(options)) {
  const auto& vocabulary = options_.vocabulary;
  DS_CHECK(!vocabulary.empty(), "{}: model.vocab is empty", options_.where);
  DS_CHECK(!options_.unknown_id || *options_.unknown_id < size(),
           "{}: model.unk_id {} is not below the {} tokens", options_.where, *options_.unknown_id,
           vocabulary.size());
  const auto is_found = [&](size_t id) { return id >= options_.left_out.size() || !options_.left_out[id]; };
  double least = std::numeric_limits<double>::infinity();
  ids_.reserve(vocabulary.size());
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    DS_CHECK(!std::isnan(vocabulary[id].second), "{}: model.vocab[{}]: the score is not a number",
             options_.where, id);
    ids_[vocabulary[id].first] = static_cast<int32_t>(id);
    if (is_found(id)) least = std::min(least, vocabulary[id].second);
  }
  unknown_score_ = least - kUnknownPenalty;
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = id_of(byte_token(static_cast<uint8_t>(byte)));
    byte_ids_[static_cast<size_t>(byte)] = found.value_or(-1);
  }
  std::vector<std::pair<std::string_view, int32_t>> entries;
  entries.reserve(ids_.size());
  for (const auto& entry : ids_)
    if (!entry.first.empty() && is_found(static_cast<size_t>(entry.second))) entries.push_back(entry);
  std::sort(entries.begin(), entries.end());
  trie_ = Trie(entries);
}

std::optional<int32_t> UnigramModel::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* UnigramModel::token_of(int32_t id) const {
  return id < 0 || id >= size() ? nullptr : &options_.vocabulary[static_cast<size_t>(id)].first;
}

// Viterbi (as SentencePiece's EncodeOptimized): of equally likely paths the one whose last token is longest
// stays.
void UnigramModel::find_best_path(std::string_view piece, std::vector<Step>& steps) const {
  steps.assign(piece.size() + 1, Step{});
  for (size_t begin = 0; begin < piece.size();) {
    const double score_here = steps[begin].score;
    const size_t width = std::min(utf8_length(piece[begin]), piece.size() - begin);
    bool has_single = false;
    const auto offer = [&](size_t length, int32_t id, double score) {
      Step& target = steps[begin + length];
      const double candidate = score + score_here;
      if (target.begin == kNowhere || candidate > target.score)
        target = {candidate, static_cast<uint32_t>(begin), id};
    };
    trie_.prefixes(piece.substr(begin), [&](size_t length, int32_t id) {
      offer(length, id, options_.vocabulary[static_cast<size_t>(id)].second);
      has_single = has_single || length == width;
    });
    if (!has_single) {
      DS_CHECK(options_.unknown_id, "{}: model.vocab lacks {} and model.unk_id is not set", options_.where,
               quote(piece.substr(begin, width)));
      offer(width, *options_.unknown_id, unknown_score_);
    }
    begin += width;
  }
}

void UnigramModel::append(std::string_view piece, uint32_t begin, uint32_t end, int32_t id,
                          std::vector<Symbol>& out) const {
  if (id != options_.unknown_id.value_or(-1)) {
    out.push_back({id, begin, end});
    return;
  }
  const std::string_view text = piece.substr(begin, end - begin);
  if (const auto known = id_of(text)) {
    out.push_back({*known, begin, end});
    return;
  }
  const bool falls_back = options_.byte_fallback && std::all_of(text.begin(), text.end(), [&](char byte) {
                            return byte_ids_[static_cast<uint8_t>(byte)] >= 0;
                          });
  if (!falls_back) {
    out.push_back({id, begin, end, /*as_written=*/true});
    return;
  }
  for (const char byte : text) out.push_back({byte_ids_[static_cast<uint8_t>(byte)], begin, end});
}

void UnigramModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  thread_local std::vector<Step> steps;
  thread_local std::vector<std::pair<uint32_t, uint32_t>> runs;  // last first; a run of unknown ones is one
  thread_local std::vector<int32_t> ids;
  find_best_path(piece, steps);
  runs.clear();
  ids.clear();
  for (auto end = static_cast<uint32_t>(piece.size()); end > 0; end = steps[end].begin) {
    const Step& step = steps[end];
    const bool joins = !runs.empty() && options_.unknown_id == step.id && ids.back() == step.id;
    if (joins) {
      runs.back().first = step.begin;
    } else {
      runs.emplace_back(step.begin, end);
      ids.push_back(step.id);
    }
  }
  for (size_t i = runs.size(); i-- > 0;) append(piece, runs[i].first, runs[i].second, ids[i], out);
  if (steps.size() > (size_t{1} << 20)) steps = {};
}

}  // namespace deepspeed::text
