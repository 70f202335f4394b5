// Names and other entities in a text, as transformers' token-classification pipeline finds them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/inference/model_source.h"
#include "deepspeed/models/encoder_heads.h"

namespace deepspeed::inference {

/// How tokens become entities: kNone: each token is one. kSimple: neighbours of one class are one, by the
/// marks B- and I-. The others agree on one class for each word first: its first token's, the mean's, or that
/// of the surest token.
enum class Aggregation { kNone, kSimple, kFirst, kAverage, kMax };
/// "none", "simple", "first", "average", "max". The Error lists them.
Aggregation parse_aggregation(const std::string& name);

struct Entity {
  std::string label;  // of groups without B- and I-
  double score = 0;
  std::string word;
  size_t start = 0, end = 0;    // in code points of the text
  std::optional<size_t> index;  // of a single token
};

class TokenClassification {
 public:
  struct Options {
    Aggregation aggregation = Aggregation::kNone;
    std::vector<std::string> ignored = {"O"};
    /// Tokens that neighbouring parts of a long text share; nothing: what is too long is cut off.
    std::optional<size_t> stride;
  };
  /// `source` has a tokenizer and outlives this object.
  TokenClassification(std::shared_ptr<models::TokenClassifier> model, const ModelSource& source);
  std::vector<Entity> operator()(const std::string& text, const Options& options) const;

 private:
  struct Token {
    std::string word;
    std::vector<float> scores;
    size_t start, end, index;
    bool continues;  // the word of the token before it
  };
  std::vector<Token> tokens_of(const text::Encoding& encoding, const std::string& text) const;
  bool continues_word(const std::string& token, size_t start, size_t end, const std::string& text) const;
  std::vector<Entity> words_of(const std::vector<Token>& tokens, Aggregation aggregation) const;
  Entity entity_of(const std::vector<Token>& word, Aggregation aggregation) const;
  std::vector<Entity> groups_of(const std::vector<Entity>& entities) const;
  std::vector<Entity> entities_of(const text::Encoding& encoding, const std::string& text,
                                  const Options& options) const;

  std::shared_ptr<models::TokenClassifier> model_;
  const ModelSource& source_;
  std::optional<int32_t> unknown_;
};

}  // namespace deepspeed::inference
