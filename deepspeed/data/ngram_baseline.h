// What counting alone predicts: the yardsticks that a trained model's perplexity is shown beside. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace deepspeed::data {

/// Unigram with add-one smoothing, and trigram by interpolated absolute discounting over bigram and unigram.
/// Source: Ney, Essen, Kneser, "On structuring probabilistic dependences in stochastic language modelling"
/// (1994).
class NgramBaseline {
 public:
  /// Counts the training tokens; ids must lie in [0, vocab), vocab <= 2^20.
  NgramBaseline(std::span<const int32_t> tokens, int64_t vocab);

  struct Perplexities {
    double unigram = 0, trigram = 0;
  };
  /// Of predicting tokens 1.. of each held-out sample of `sample_length` tokens from those before it in the
  /// sample: the predictions that a causal language model is scored on.
  Perplexities evaluate(std::span<const int32_t> held_out, int64_t sample_length) const;

 private:
  struct Context {
    int64_t total = 0, distinct = 0;
  };
  double unigram(int32_t token) const;
  double bigram(int32_t a, int32_t token) const;
  double trigram(int32_t a, int32_t b, int32_t token) const;
  uint64_t key(int32_t a, int32_t b) const {
    return static_cast<uint64_t>(a) * vocab_ + static_cast<uint64_t>(b);
  }

  uint64_t vocab_;
  int64_t total_ = 0;
  std::vector<int64_t> unigrams_;
  std::vector<Context> after_one_;
  std::unordered_map<uint64_t, int64_t> bigrams_, trigrams_;
  std::unordered_map<uint64_t, Context> after_two_;
};

}  // namespace deepspeed::data
