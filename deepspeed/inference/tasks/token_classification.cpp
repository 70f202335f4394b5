#include "deepspeed/inference/tasks/token_classification.h"

#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/tasks/encoder_batch.h"
#include "deepspeed/inference/tasks/text_span.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::inference {
namespace {

size_t likeliest(const std::vector<float>& scores) {
  return static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

// "B-PER" is the first token of a person; a label without a mark goes on what is before it.
std::pair<bool, std::string> mark_of(const std::string& label) {
  if (label.starts_with("B-")) return {true, label.substr(2)};
  return {false, label.starts_with("I-") ? label.substr(2) : label};
}

// Of overlapping entities of neighbouring parts the longer one, or the surer one.
std::vector<Entity> without_overlaps(std::vector<Entity> entities) {
  std::stable_sort(entities.begin(), entities.end(),
                   [](const Entity& a, const Entity& b) { return a.start < b.start; });
  std::vector<Entity> out;
  for (Entity& entity : entities) {
    if (out.empty() || entity.start < out.back().start || entity.start >= out.back().end) {
      out.push_back(std::move(entity));
      continue;
    }
    const size_t length = entity.end - entity.start, before = out.back().end - out.back().start;
    if (length > before || (length == before && entity.score > out.back().score))
      out.back() = std::move(entity);
  }
  return out;
}

}  // namespace

Aggregation parse_aggregation(const std::string& name) {
  if (name == "none") return Aggregation::kNone;
  if (name == "simple") return Aggregation::kSimple;
  if (name == "first") return Aggregation::kFirst;
  if (name == "average") return Aggregation::kAverage;
  if (name == "max") return Aggregation::kMax;
  base::fail("no aggregation strategy '{}': there are none, simple, first, average, max", name);
}

TokenClassification::TokenClassification(std::shared_ptr<models::TokenClassifier> model,
                                         const ModelSource& source)
    : model_(std::move(model)), source_(source), unknown_(source.special_token("unk_token")) {}

// WordPiece says so by a prefix, which the text does not have. Of others it is a guess: no space before it.
bool TokenClassification::continues_word(const std::string& token, size_t start, size_t end,
                                         const std::string& text) const {
  if (source_.tokenizer->marks_continuations()) return text::count_code_points(token) != end - start;
  return start > 0 && text_span(text, start - 1, start + 1).find(' ') == std::string::npos;
}

std::vector<TokenClassification::Token> TokenClassification::tokens_of(const text::Encoding& encoding,
                                                                       const std::string& text) const {
  const at::Tensor logits =
      to_host(model_->logits(encoder_batch(encoding, model_->spec(), nn::device_of(*model_)))[0]);
  const auto labels = static_cast<size_t>(model_->spec().labels);
  std::vector<Token> tokens;
  for (size_t i = 0; i < encoding.size(); ++i) {
    if (encoding.special_tokens_mask[i] != 0) continue;
    const auto [start, end] = encoding.offsets[i];
    Token token{source_.tokenizer->id_to_token(encoding.ids[i]),
                softmax({logits.const_data_ptr<float>() + i * labels, labels}),
                start,
                end,
                i,
                false};
    if (unknown_ && encoding.ids[i] == *unknown_)
      token.word = text_span(text, start, end);
    else
      token.continues = continues_word(token.word, start, end, text);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Entity TokenClassification::entity_of(const std::vector<Token>& word, Aggregation aggregation) const {
  std::vector<float> scores = word[0].scores;
  if (aggregation == Aggregation::kMax) {
    for (const Token& token : word)
      if (token.scores[likeliest(token.scores)] > scores[likeliest(scores)]) scores = token.scores;
  } else if (aggregation == Aggregation::kAverage) {
    for (size_t i = 1; i < word.size(); ++i)
      for (size_t label = 0; label < scores.size(); ++label) scores[label] += word[i].scores[label];
    for (float& score : scores) score /= static_cast<float>(word.size());
  }
  std::vector<std::string> parts;
  for (const Token& token : word) parts.push_back(token.word);
  const size_t best = likeliest(scores);
  return {.label = label_name(model_->spec(), best),
          .score = scores[best],
          .word = source_.tokenizer->decode_tokens(parts),
          .start = word.front().start,
          .end = word.back().end,
          .index = {}};
}

std::vector<Entity> TokenClassification::words_of(const std::vector<Token>& tokens,
                                                  Aggregation aggregation) const {
  std::vector<Entity> out;
  std::vector<Token> word;
  for (const Token& token : tokens) {
    if (!word.empty() && !token.continues) {
      out.push_back(entity_of(word, aggregation));
      word.clear();
    }
    word.push_back(token);
  }
  if (!word.empty()) out.push_back(entity_of(word, aggregation));
  return out;
}

std::vector<Entity> TokenClassification::groups_of(const std::vector<Entity>& entities) const {
  std::vector<Entity> out;
  for (size_t begin = 0, end = 0; begin < entities.size(); begin = end) {
    const std::string tag = mark_of(entities[begin].label).second;
    const auto goes_on = [&](const Entity& next) {
      const auto [first, its] = mark_of(next.label);
      return its == tag && !first;
    };
    for (end = begin + 1; end < entities.size() && goes_on(entities[end]);) ++end;
    std::vector<std::string> words;
    double sum = 0;
    for (size_t i = begin; i < end; ++i) {
      words.push_back(entities[i].word);
      sum += entities[i].score;
    }
    const std::string& label = entities[begin].label;
    const size_t dash = label.find('-');
    out.push_back({.label = dash == label.npos ? label : label.substr(dash + 1),
                   .score = sum / static_cast<double>(end - begin),
                   .word = source_.tokenizer->decode_tokens(words),
                   .start = entities[begin].start,
                   .end = entities[end - 1].end,
                   .index = {}});
  }
  return out;
}

std::vector<Entity> TokenClassification::entities_of(const text::Encoding& encoding, const std::string& text,
                                                     const Options& options) const {
  const std::vector<Token> tokens = tokens_of(encoding, text);
  std::vector<Entity> entities;
  if (options.aggregation == Aggregation::kNone || options.aggregation == Aggregation::kSimple) {
    for (const Token& token : tokens) {
      const size_t best = likeliest(token.scores);
      entities.push_back({.label = label_name(model_->spec(), best),
                          .score = token.scores[best],
                          .word = token.word,
                          .start = token.start,
                          .end = token.end,
                          .index = token.index});
    }
  } else {
    entities = words_of(tokens, options.aggregation);
  }
  if (options.aggregation != Aggregation::kNone) entities = groups_of(entities);
  std::erase_if(entities, [&](const Entity& entity) {
    return std::find(options.ignored.begin(), options.ignored.end(), entity.label) != options.ignored.end();
  });
  return entities;
}

std::vector<Entity> TokenClassification::operator()(const std::string& text, const Options& options) const {
  const at::NoGradGuard no_grad;
  DS_CHECK(!options.stride || options.aggregation != Aggregation::kNone,
           "a stride puts parts of a text together, which needs an aggregation strategy");
  DS_CHECK(!options.stride || *options.stride < source_.longest,
           "the stride {} must be less than the {} tokens of a part", *options.stride, source_.longest);
  text::EncodeOptions encode;
  encode.truncation = text::Truncation{.max_length = source_.longest, .stride = options.stride.value_or(0)};
  const text::Encoding whole = source_.tokenizer->encode(text, encode);
  if (whole.size() == 0) return {};
  std::vector<Entity> out = entities_of(whole, text, options);
  if (!options.stride || whole.overflowing.empty()) return out;
  for (const text::Encoding& part : whole.overflowing)
    for (Entity& entity : entities_of(part, text, options)) out.push_back(std::move(entity));
  return without_overlaps(std::move(out));
}

}  // namespace deepspeed::inference
