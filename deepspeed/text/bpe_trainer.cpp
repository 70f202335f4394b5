#include "deepspeed/text/bpe_trainer.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <queue>
#include <unordered_map>

#include "deepspeed/base/error.h"
#include "deepspeed/text/byte_alphabet.h"
#include "deepspeed/text/pattern.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Pair = std::pair<uint32_t, uint32_t>;
struct PairHash {
  size_t operator()(const Pair& pair) const {
    return std::hash<uint64_t>{}((static_cast<uint64_t>(pair.first) << 32 | pair.second) *
                                 0x9E3779B97F4A7C15u);
  }
};
using Places = std::vector<uint32_t>;  // indices of words, each once

struct Word {
  std::vector<uint32_t> tokens;
  int64_t count;
};

struct Candidate {
  uint64_t count;
  Pair pair;
  Places places;
};

// The most frequent pair first, then the one with the smallest ids.
struct IsWorse {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.count != b.count ? a.count < b.count : a.pair > b.pair;
  }
};

class Trainer {
 public:
  Trainer(std::string_view text, const BpeTrainOptions& options) : options_(options) {
    for (const std::string& token : options.special_tokens) add_token(token);
    add_bytes();
    DS_CHECK(options.vocab_size >= static_cast<int>(tokens_.size()),
             "vocab_size {} cannot hold the {} special tokens and the 256 bytes; use at least {}",
             options.vocab_size, options.special_tokens.size(), tokens_.size());
    read_words(text);
    count_pairs();
  }

  void train() {
    while (tokens_.size() < static_cast<size_t>(options_.vocab_size) && !queue_.empty()) {
      Candidate best = std::move(const_cast<Candidate&>(queue_.top()));  // about to be popped
      queue_.pop();
      const auto count = static_cast<uint64_t>(counts_[best.pair]);
      if (best.count != count) {
        best.count = count;
        queue_.push(std::move(best));
        continue;
      }
      if (count < 1 || count < static_cast<uint64_t>(std::max(options_.min_frequency, 0))) break;
      const uint32_t token = add_token(tokens_[best.pair.first] + tokens_[best.pair.second]);
      ranks_[best.pair] = rank_++;
      merge(best, token);
    }
  }

  const std::vector<std::string>& tokens() const { return tokens_; }
  std::vector<Pair> merges() const {
    std::map<size_t, Pair> by_rank;
    for (const auto& [pair, rank] : ranks_) by_rank.emplace(rank, pair);
    std::vector<Pair> out;
    for (const auto& [rank, pair] : by_rank) out.push_back(pair);
    return out;
  }

 private:
  // The same text may be reached by different merges; it stays one token.
  uint32_t add_token(const std::string& token) {
    const auto [entry, is_new] = ids_.try_emplace(token, static_cast<uint32_t>(tokens_.size()));
    if (is_new) tokens_.push_back(token);
    return entry->second;
  }

  // In order of the code points that stand for the bytes, as tokenizers sorts its initial alphabet.
  void add_bytes() {
    std::vector<std::pair<uint32_t, uint8_t>> order;
    for (int byte = 0; byte < 256; ++byte) {
      size_t at = 0;
      order.emplace_back(next_code_point(byte_character(static_cast<uint8_t>(byte)), at),
                         static_cast<uint8_t>(byte));
    }
    std::sort(order.begin(), order.end());
    for (const auto& [code_point, byte] : order)
      byte_ids_[byte] = add_token(std::string(byte_character(byte)));
  }

  void read_words(std::string_view text) {
    std::unordered_map<std::string_view, size_t> index;
    Pattern(kGpt2Pattern, "GPT-2's pattern").cut(text, [&](size_t begin, size_t end, bool) {
      const std::string_view piece = text.substr(begin, end - begin);
      const auto [entry, is_new] = index.try_emplace(piece, words_.size());
      if (is_new) {
        words_.push_back({{}, 0});
        for (const char byte : piece) words_.back().tokens.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
      }
      ++words_[entry->second].count;
    });
    DS_CHECK(words_.size() <= std::numeric_limits<uint32_t>::max(), "the text has too many different words");
  }

  void count_pairs() {
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const auto& tokens = words_[w].tokens;
      for (size_t i = 0; i + 1 < tokens.size(); ++i) note({tokens[i], tokens[i + 1]}, words_[w].count, w);
    }
    queue_places();
  }

  void note(const Pair& pair, int64_t change, uint32_t word) {
    counts_[pair] += change;
    if (change <= 0) return;
    Places& places = places_[pair];
    if (places.empty() || places.back() != word) places.push_back(word);
  }

  void queue_places() {
    for (auto& [pair, places] : places_) {
      const int64_t count = counts_[pair];
      if (count > 0) queue_.push({static_cast<uint64_t>(count), pair, std::move(places)});
    }
    places_.clear();
  }

  // Counts of the merged pair itself are left as they are: tokenizers does not touch them either.
  void merge(const Candidate& best, uint32_t token) {
    for (const uint32_t w : best.places) {
      auto& tokens = words_[w].tokens;
      const int64_t count = words_[w].count;
      size_t kept = 0;
      for (size_t i = 0; i < tokens.size(); ++i) {
        if (i + 1 >= tokens.size() || Pair(tokens[i], tokens[i + 1]) != best.pair) {
          tokens[kept++] = tokens[i];
          continue;
        }
        if (kept > 0) {
          note({tokens[kept - 1], best.pair.first}, -count, w);
          note({tokens[kept - 1], token}, count, w);
        }
        if (i + 2 < tokens.size()) {
          note({best.pair.second, tokens[i + 2]}, -count, w);
          note({token, tokens[i + 2]}, count, w);
        }
        tokens[kept++] = token;
        ++i;
      }
      tokens.resize(kept);
    }
    queue_places();
  }

  const BpeTrainOptions& options_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, uint32_t> ids_;
  uint32_t byte_ids_[256] = {};
  std::vector<Word> words_;
  std::unordered_map<Pair, int64_t, PairHash> counts_;
  std::unordered_map<Pair, Places, PairHash> places_;  // where pairs appeared since queue_places()
  std::priority_queue<Candidate, std::vector<Candidate>, IsWorse> queue_;
  std::unordered_map<Pair, size_t, PairHash> ranks_;  // a pair merged twice has its later rank
  size_t rank_ = 0;
};

nlohmann::ordered_json byte_level(bool add_prefix_space, bool trim_offsets) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", trim_offsets},
          {"use_regex", true}};
}

nlohmann::ordered_json to_json(const Trainer& trainer, const BpeTrainOptions& options) {
  using nlohmann::ordered_json;
  ordered_json added = ordered_json::array();
  for (const std::string& token : options.special_tokens) {
    const auto id =
        std::find(trainer.tokens().begin(), trainer.tokens().end(), token) - trainer.tokens().begin();
    const bool listed =
        std::any_of(added.begin(), added.end(), [&](const auto& entry) { return entry.at("id") == id; });
    if (listed) continue;
    added.push_back({{"id", id},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  ordered_json::object_t vocabulary;  // ids rise in order of insertion
  vocabulary.reserve(trainer.tokens().size());
  for (size_t id = 0; id < trainer.tokens().size(); ++id) {
    vocabulary.std::vector<std::pair<const std::string, ordered_json>>::emplace_back(trainer.tokens()[id],
                                                                                     id);
  }
  ordered_json merges = ordered_json::array();
  for (const auto& [left, right] : trainer.merges()) {
    merges.push_back(ordered_json::array({trainer.tokens()[left], trainer.tokens()[right]}));
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level(false, true)},
          {"post_processor", byte_level(true, false)},
          {"decoder", byte_level(true, true)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", std::move(vocabulary)},
            {"merges", std::move(merges)}}}};
}

}  // namespace

std::string train_byte_level_bpe(std::string_view utf8_text, const BpeTrainOptions& options) {
  DS_CHECK(!utf8_text.empty(), "the text to learn a tokenizer from is empty");
  check_utf8(utf8_text, "text to learn a tokenizer from");
  for (const std::string& token : options.special_tokens) {
    check_utf8(token, "special token");
    DS_CHECK(!token.empty(), "a special token is empty");
  }
  Trainer trainer(utf8_text, options);
  trainer.train();
  return to_json(trainer, options).dump(2);
}

}  // namespace deepspeed::text
