#include "deepspeed/data/ngram_baseline.h"

#include <cmath>

#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

constexpr double kDiscount =
    0.75;  // the usual choice of the 1994 paper's closed form for corpora of this size

}  // namespace

NgramBaseline::NgramBaseline(std::span<const int32_t> tokens, int64_t vocab)
    : vocab_(static_cast<uint64_t>(vocab)),
      unigrams_(static_cast<size_t>(vocab), 0),
      after_one_(static_cast<size_t>(vocab)) {
  DS_CHECK(vocab > 0 && vocab <= (int64_t{1} << 20),
           "n-gram counts need a vocabulary of 1 to 2^20 tokens, got {}", vocab);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int32_t c = tokens[i];
    DS_CHECK(c >= 0 && c < vocab, "token {} at position {} is outside the vocabulary of {}", c, i, vocab);
    ++unigrams_[static_cast<size_t>(c)];
    ++total_;
    if (i < 1) continue;
    const int32_t b = tokens[i - 1];
    Context& one = after_one_[static_cast<size_t>(b)];
    ++one.total;
    if (bigrams_[key(b, c)]++ == 0) ++one.distinct;
    if (i < 2) continue;
    const uint64_t pair = key(tokens[i - 2], b);
    Context& two = after_two_[pair];
    ++two.total;
    if (trigrams_[pair * vocab_ + static_cast<uint64_t>(c)]++ == 0) ++two.distinct;
  }
}

double NgramBaseline::unigram(int32_t token) const {
  return static_cast<double>(unigrams_[static_cast<size_t>(token)] + 1) /
         (static_cast<double>(total_) + static_cast<double>(vocab_));
}

double NgramBaseline::bigram(int32_t a, int32_t token) const {
  const Context& context = after_one_[static_cast<size_t>(a)];
  const double lower = unigram(token);
  if (context.total == 0) return lower;
  auto found = bigrams_.find(key(a, token));
  const double count = found == bigrams_.end() ? 0 : static_cast<double>(found->second);
  return (std::max(count - kDiscount, 0.0) + kDiscount * static_cast<double>(context.distinct) * lower) /
         static_cast<double>(context.total);
}

double NgramBaseline::trigram(int32_t a, int32_t b, int32_t token) const {
  const double lower = bigram(b, token);
  auto context = after_two_.find(key(a, b));
  if (context == after_two_.end()) return lower;
  auto found = trigrams_.find(key(a, b) * vocab_ + static_cast<uint64_t>(token));
  const double count = found == trigrams_.end() ? 0 : static_cast<double>(found->second);
  return (std::max(count - kDiscount, 0.0) +
          kDiscount * static_cast<double>(context->second.distinct) * lower) /
         static_cast<double>(context->second.total);
}

NgramBaseline::Perplexities NgramBaseline::evaluate(std::span<const int32_t> held_out,
                                                    int64_t sample_length) const {
  double one = 0, three = 0;
  int64_t count = 0;
  const int64_t samples = static_cast<int64_t>(held_out.size()) / sample_length;
  for (int64_t s = 0; s < samples; ++s) {
    const auto sample =
        held_out.subspan(static_cast<size_t>(s * sample_length), static_cast<size_t>(sample_length));
    for (size_t i = 1; i < sample.size(); ++i, ++count) {
      one -= std::log(unigram(sample[i]));
      three -=
          std::log(i == 1 ? bigram(sample[0], sample[1]) : trigram(sample[i - 2], sample[i - 1], sample[i]));
    }
  }
  DS_CHECK(count > 0, "the held-out data holds no complete sample of {} tokens", sample_length);
  return {std::exp(one / static_cast<double>(count)), std::exp(three / static_cast<double>(count))};
}

}  // namespace deepspeed::data
