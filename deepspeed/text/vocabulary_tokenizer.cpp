#include "deepspeed/text/vocabulary_tokenizer.h"

#include <algorithm>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/text/bpe_model.h"
#include "deepspeed/text/pipeline.h"
#include "deepspeed/text/scored_bpe.h"
#include "deepspeed/text/unigram.h"
#include "deepspeed/text/utf8.h"
#include "deepspeed/text/word_piece.h"

namespace deepspeed::text {
namespace {

constexpr const char* kMarker = "\xE2\x96\x81";  // U+2581
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kBloom = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+";

using Steps = std::vector<PreTokenizerStep>;

SplitStep split(const char* pattern) {
  return {Matcher(Pattern(pattern, "pre-tokenizer")), SplitBehavior::kIsolated, false};
}

ByteLevelStep byte_level(bool gpt2) {
  ByteLevelStep step{false, {}};
  if (gpt2) step.pattern.emplace(kGpt2Pattern, "pre-tokenizer");
  return step;
}

Steps split_at(const char* pattern) {
  Steps out;
  out.emplace_back(split(pattern));
  out.emplace_back(byte_level(false));
  return out;
}

Steps gpt2_steps() {
  Steps out;
  out.emplace_back(byte_level(true));
  return out;
}

Steps digits_steps() {
  Steps out;
  out.emplace_back(DigitsStep{true});
  out.emplace_back(byte_level(true));
  return out;
}

Steps falcon_steps() {
  Steps out;
  ByteLevelStep bytes = byte_level(true);
  bytes.writes_characters = true;
  out.emplace_back(PunctuationStep{SplitBehavior::kContiguous});
  out.emplace_back(std::move(bytes));
  out.emplace_back(DigitsStep{false});
  out.emplace_back(split("[0-9][0-9][0-9]"));
  return out;
}

const std::map<std::string, Steps (*)()>& pre_tokenizers() {
  static const std::map<std::string, Steps (*)()> table = {
      {"default", gpt2_steps},
      {"gpt-2", gpt2_steps},
      {"phi-2", gpt2_steps},
      {"olmo", gpt2_steps},
      {"mpt", gpt2_steps},
      {"roberta-bpe", gpt2_steps},
      {"falcon", falcon_steps},
      {"starcoder", digits_steps},
      {"refact", digits_steps},
      {"command-r", digits_steps},
      {"smollm", digits_steps},
      {"codeshell", digits_steps},
      {"bloom", [] { return split_at(kBloom); }},
      {"gpt3-finnish", [] { return split_at(kBloom); }},
      {"llama-bpe", [] { return split_at(kLlama3); }},
      {"llama3", [] { return split_at(kLlama3); }},
      {"llama-v3", [] { return split_at(kLlama3); }},
      {"dbrx", [] { return split_at(kLlama3); }},
      {"smaug-bpe", [] { return split_at(kLlama3); }},
      {"qwen2", [] { return split_at(kQwen2); }},
      {"stablelm2", [] { return split_at(kQwen2); }},
      {"gpt-4o", [] { return split_at(kGpt4o); }},
      {"llama4", [] { return split_at(kGpt4o); }},
      {"tekken", [] { return split_at(kTekken); }},
  };
  return table;
}

TokenType type_of(const TokenizerArrays& arrays, size_t id) {
  return arrays.types.empty() ? TokenType::kNormal : static_cast<TokenType>(arrays.types[id]);
}

void check(const TokenizerArrays& arrays) {
  const size_t count = arrays.tokens.size();
  DS_CHECK(count > 0 && count <= (size_t{1} << 24), "{}: a vocabulary of {} tokens", arrays.name, count);
  DS_CHECK(arrays.types.empty() || arrays.types.size() == count, "{}: {} token types for {} tokens",
           arrays.name, arrays.types.size(), count);
  for (size_t i = 0; i < arrays.types.size(); ++i)
    DS_CHECK(arrays.types[i] >= 1 && arrays.types[i] <= 6, "{}: token {} has the unknown type {}",
             arrays.name, i, arrays.types[i]);
  for (const std::string& token : arrays.tokens) check_utf8(token, arrays.name + ": a token");
  for (const auto& id : {arrays.bos, arrays.eos, arrays.unknown, arrays.separator})
    DS_CHECK(!id || (*id >= 0 && static_cast<size_t>(*id) < count),
             "{}: the special token {} is not below the {} tokens", arrays.name, id.value_or(0), count);
  const bool scored = arrays.model == "llama" || arrays.model == "t5";
  DS_CHECK(!scored || arrays.scores.size() == count, "{}: {} scores for {} tokens", arrays.name,
           arrays.scores.size(), count);
}

Vocabulary vocabulary_of(const std::vector<std::string>& tokens, const std::string& name) {
  Vocabulary out;
  out.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto [known, is_new] = out.emplace(tokens[i], static_cast<int32_t>(i));
    DS_CHECK(is_new, "{}: tokens {} and {} both read {}", name, known->second, i, quote(tokens[i]));
  }
  return out;
}

// Control tokens are found in the text as they are; those that are written with markers once these are there.
AddedTokens added_tokens_of(const TokenizerArrays& arrays, const Pipeline& pipeline) {
  std::vector<AddedToken> out;
  for (size_t i = 0; i < arrays.tokens.size(); ++i) {
    const TokenType type = type_of(arrays, i);
    const bool special = type == TokenType::kControl || type == TokenType::kUnknown;
    if (!special && type != TokenType::kUserDefined) continue;
    AddedToken token;
    token.content = token.normalized_content = arrays.tokens[i];
    token.normalized = !special && token.content.find(kMarker) != std::string::npos;
    token.special = special;
    token.id = static_cast<int32_t>(i);
    out.push_back(std::move(token));
  }
  return AddedTokens(std::move(out), *pipeline.model, pipeline.name);
}

void put_around(const TokenizerArrays& arrays, bool begins, bool ends, std::optional<int32_t> end,
                Pipeline& pipeline) {
  using Part = TemplateStep::Part;
  const auto part = [&](const std::optional<int32_t>& id, const char* what, int32_t type_id) {
    DS_CHECK(id, "{}: there is no {} token, which is to be added", arrays.name, what);
    return Part{-1, type_id, {*id}, {arrays.tokens[static_cast<size_t>(*id)]}};
  };
  TemplateStep step;
  const Part first{0, 0, {}, {}}, second{1, 1, {}, {}};
  if (begins) step.single.push_back(part(arrays.bos, "first", 0));
  step.single.push_back(first);
  if (ends) step.single.push_back(part(end, "last", 0));
  step.pair = step.single;
  if (arrays.add_separator.value_or(false))
    step.pair.push_back(part(arrays.separator, "separating", 1));
  else if (begins && arrays.model != "bert")
    step.pair.push_back(part(arrays.bos, "first", 1));
  step.pair.push_back(second);
  if (ends) step.pair.push_back(part(end, "last", 1));
  if (begins || ends) pipeline.post_processor.emplace_back(std::move(step));
}

ReplaceStep spaces_to_markers() { return {Matcher(std::string(" ")), kMarker}; }

void set_sentence_piece_decoder(bool strips, Pipeline& pipeline) {
  pipeline.decoder.clear();
  pipeline.decoder.emplace_back(ReplaceDecoder{Matcher(std::string(kMarker)), " "});
  pipeline.decoder.emplace_back(ByteFallbackDecoder{});
  pipeline.decoder.emplace_back(FuseDecoder{});
  if (strips) pipeline.decoder.emplace_back(StripDecoder{' ', 1, 0});
}

void make_llama(const TokenizerArrays& arrays, Pipeline& pipeline) {
  ScoredBpeOptions options;
  options.where = arrays.name;
  for (size_t i = 0; i < arrays.tokens.size(); ++i) {
    const TokenType type = type_of(arrays, i);
    const bool joins =
        type == TokenType::kNormal || type == TokenType::kUserDefined || type == TokenType::kUnused;
    options.tokens.push_back({arrays.tokens[i], arrays.scores[i], joins, type == TokenType::kUnused});
  }
  options.unknown_id = arrays.unknown;
  pipeline.model = std::make_unique<ScoredBpeModel>(std::move(options));
  const bool prefix = arrays.add_space_prefix.value_or(true);
  if (prefix) pipeline.normalizer.emplace_back(PrependStep{kMarker});
  pipeline.normalizer.emplace_back(spaces_to_markers());
  pipeline.added = added_tokens_of(arrays, pipeline);
  set_sentence_piece_decoder(prefix, pipeline);
  put_around(arrays, arrays.add_bos.value_or(true), arrays.add_eos.value_or(false), arrays.eos, pipeline);
}

void make_t5(const TokenizerArrays& arrays, Pipeline& pipeline) {
  UnigramOptions options;
  options.where = arrays.name;
  options.byte_fallback = true;
  options.unknown_id = arrays.unknown;
  for (size_t i = 0; i < arrays.tokens.size(); ++i) {
    const TokenType type = type_of(arrays, i);
    const bool joins = type == TokenType::kNormal || type == TokenType::kUserDefined;
    options.vocabulary.emplace_back(arrays.tokens[i], arrays.scores[i]);
    options.left_out.push_back(!joins);
  }
  pipeline.model = std::make_unique<UnigramModel>(std::move(options));
  auto& normalizer = pipeline.normalizer;
  if (!arrays.precompiled_charsmap.empty())
    normalizer.emplace_back(
        CharsMapStep{std::make_shared<const CharsMap>(arrays.precompiled_charsmap, arrays.name)});
  if (arrays.remove_extra_whitespaces.value_or(true)) {
    normalizer.emplace_back(StripStep{true, true});
    normalizer.emplace_back(ReplaceStep{Matcher(Pattern(" {2,}", "normalizer")), " "});
  }
  const bool prefix = arrays.add_space_prefix.value_or(true);
  if (prefix) normalizer.emplace_back(PrependStep{kMarker});
  normalizer.emplace_back(spaces_to_markers());
  pipeline.added = added_tokens_of(arrays, pipeline);
  set_sentence_piece_decoder(prefix, pipeline);
  put_around(arrays, arrays.add_bos.value_or(false), arrays.add_eos.value_or(true), arrays.eos, pipeline);
}

void make_gpt2(const TokenizerArrays& arrays, Pipeline& pipeline) {
  const std::string pre = arrays.pre.empty() ? "default" : arrays.pre;
  const auto steps = pre_tokenizers().find(pre);
  DS_CHECK(steps != pre_tokenizers().end(), "{}: the pre-tokenizer {} is not supported", arrays.name,
           quote(pre));
  pipeline.pre_tokenizer = steps->second();
  BpeOptions options;
  options.where = arrays.name;
  options.byte_level = std::holds_alternative<ByteLevelStep>(pipeline.pre_tokenizer.back());
  options.ignore_merges = pre.starts_with("llama") || pre == "gpt-4o" || pre == "tekken";
  options.vocabulary = vocabulary_of(arrays.tokens, arrays.name);
  for (const std::string& merge : arrays.merges) {
    const size_t space = merge.find(' ', 1);
    DS_CHECK(space != std::string::npos, "{}: the merge {} has no space between two tokens", arrays.name,
             quote(merge));
    options.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  pipeline.model = std::make_unique<BpeModel>(std::move(options));
  pipeline.added = added_tokens_of(arrays, pipeline);
  pipeline.decoder = {ByteLevelDecoder{}};
  put_around(arrays, arrays.add_bos.value_or(false), arrays.add_eos.value_or(false), arrays.eos, pipeline);
}

// The file marks the beginnings of words, WordPiece what goes on within them.
std::string word_piece_token(const TokenizerArrays& arrays, size_t id) {
  const std::string& token = arrays.tokens[id];
  if (type_of(arrays, id) == TokenType::kControl || type_of(arrays, id) == TokenType::kUnknown) return token;
  if (token.starts_with(kMarker)) return token.substr(std::string_view(kMarker).size());
  return token.starts_with('[') && token.ends_with(']') ? token : "##" + token;
}

void make_bert(const TokenizerArrays& arrays, Pipeline& pipeline) {
  DS_CHECK(arrays.unknown, "{}: there is no unknown token", arrays.name);
  std::vector<std::string> tokens;
  bool capitals = false;
  for (size_t i = 0; i < arrays.tokens.size(); ++i) {
    tokens.push_back(word_piece_token(arrays, i));
    const bool bracketed = tokens.back().starts_with('[');
    capitals = capitals || (!bracketed && std::any_of(tokens.back().begin(), tokens.back().end(),
                                                      [](char c) { return c >= 'A' && c <= 'Z'; }));
  }
  WordPieceOptions options;
  options.where = arrays.name;
  options.unknown_token = tokens[static_cast<size_t>(*arrays.unknown)];
  options.vocabulary = vocabulary_of(tokens, arrays.name);
  pipeline.model = std::make_unique<WordPieceModel>(std::move(options));
  pipeline.normalizer.emplace_back(BertNormalizerStep{true, true, !capitals, !capitals});
  pipeline.pre_tokenizer.emplace_back(BertSplitStep{});
  pipeline.added = added_tokens_of(arrays, pipeline);
  pipeline.decoder = {WordPieceDecoder{}};
  put_around(arrays, true, true, arrays.separator ? arrays.separator : arrays.eos, pipeline);
}

}  // namespace

std::vector<std::string> known_pre_tokenizers() {
  std::vector<std::string> out;
  for (const auto& [name, steps] : pre_tokenizers()) out.push_back(name);
  return out;
}

Tokenizer make_tokenizer(TokenizerArrays arrays) {
  static const std::map<std::string, void (*)(const TokenizerArrays&, Pipeline&)> makers = {
      {"llama", make_llama}, {"gpt2", make_gpt2}, {"bert", make_bert}, {"t5", make_t5}};
  const auto maker = makers.find(arrays.model);
  DS_CHECK(maker != makers.end(), "{}: the tokenizer model {} is not supported; llama, gpt2, bert and t5 are",
           arrays.name, quote(arrays.model));
  check(arrays);
  Pipeline pipeline;
  pipeline.name = arrays.name;
  maker->second(arrays, pipeline);
  return Tokenizer::from_pipeline(std::move(pipeline));
}

}  // namespace deepspeed::text
