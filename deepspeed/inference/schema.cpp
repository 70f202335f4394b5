#include "deepspeed/inference/schema.h"

#include <limits>
#include <map>

#include "deepspeed/base/error.h"

namespace deepspeed::inference {
namespace {

using config::Json;
using config::Node;
using config::Rules;
using Config = GenerationConfig;

constexpr int64_t kLongest = int64_t{1} << 31;  // tokens: keeps sums within 63 bits
constexpr int64_t kMostBeams = 256, kMostSequences = 1024, kMostLogprobs = 100;
constexpr size_t kMostStopStrings = 1024, kLongestStopString = 4096;

int32_t read_token(const Node& node) {
  Rules rules;
  rules.limits = {.min = 0, .max = std::numeric_limits<int32_t>::max()};
  return static_cast<int32_t>(config::read_int(node, rules));
}

std::vector<int32_t> read_token_list(const Node& node) {
  if (!node.json().is_array()) config::fail_value(node, "a list of token ids");
  std::vector<int32_t> out;
  for (const Node& element : node.children()) out.push_back(read_token(element));
  return out;
}

std::vector<int32_t> read_tokens(const Node& node) {
  return node.json().is_array() ? read_token_list(node) : std::vector{read_token(node)};
}

float read_bias(const Node& node, double most) {
  Rules rules;
  rules.limits = {.min = -most, .max = most};
  return static_cast<float>(config::read_number(node, rules));
}

/// [[[ids], bias], ...]; of equal sequences the last one counts.
std::vector<SequenceBias> read_sequence_bias(const Node& node) {
  if (!node.json().is_array() || node.json().empty())
    config::fail_value(node, "a list of pairs [[token ids], bias]");
  std::vector<SequenceBias> out;
  std::map<std::vector<int32_t>, size_t> places;
  for (const Node& pair : node.children()) {
    if (!pair.json().is_array() || pair.json().size() != 2)
      config::fail_value(pair, "a pair [[token ids], bias]");
    const auto parts = pair.children();
    SequenceBias one{read_token_list(parts[0]), read_bias(parts[1], 1e9)};
    if (one.tokens.empty()) config::fail_value(parts[0], "a list of one token id or more");
    const auto [place, fresh] = places.emplace(one.tokens, out.size());
    if (fresh)
      out.push_back(std::move(one));
    else
      out[place->second].bias = one.bias;
  }
  return out;
}

/// {"id": bias, ...}
std::vector<std::pair<int32_t, float>> read_logit_bias(const Node& node) {
  if (!node.json().is_object()) config::fail_value(node, "an object of token ids and biases");
  std::vector<std::pair<int32_t, float>> out;
  for (const Node& member : node.children()) {
    const std::string& key = member.key();
    const bool digits =
        !key.empty() && key.size() <= 10 && key.find_first_not_of("0123456789") == std::string::npos;
    const int64_t id = digits ? std::stoll(key) : -1;
    if (id < 0 || id > std::numeric_limits<int32_t>::max())
      base::fail("the names in {} must be token ids: {}", node.path(), member.describe());
    out.emplace_back(static_cast<int32_t>(id), read_bias(member, 100));
  }
  return out;
}

std::vector<std::vector<int32_t>> read_bad_words(const Node& node) {
  if (!node.json().is_array() || node.json().empty())
    config::fail_value(node, "a list of lists of token ids");
  std::vector<std::vector<int32_t>> out;
  for (const Node& word : node.children()) {
    out.push_back(read_token_list(word));
    if (out.back().empty()) config::fail_value(word, "a list of one token id or more");
  }
  return out;
}

LengthDecay read_decay(const Node& node) {
  if (!node.json().is_array() || node.json().size() != 2) config::fail_value(node, "a pair [start, factor]");
  const auto parts = node.children();
  Rules start, factor;
  start.limits = {.min = 0, .max = static_cast<double>(kLongest)};
  factor.limits = {.min = 0, .min_open = true};
  return {config::read_int(parts[0], start), config::read_number(parts[1], factor)};
}

EarlyStopping read_early_stopping(const Node& node) {
  if (node.json() == "never") return EarlyStopping::kNever;
  if (!node.json().is_boolean()) config::fail_value(node, "true, false or \"never\"");
  return node.json() == true ? EarlyStopping::kTrue : EarlyStopping::kFalse;
}

std::vector<std::string> read_stop_strings(const Node& node, const Rules& rules) {
  const auto texts = config::read_texts(node, rules);
  DS_CHECK(texts.size() <= kMostStopStrings, "{} holds {} texts; at most {} are allowed", node.path(),
           texts.size(), kMostStopStrings);
  for (const std::string& text : texts)
    DS_CHECK(!text.empty() && text.size() <= kLongestStopString,
             "{}: a stop string of {} bytes; want one of 1 to {}", node.path(), text.size(),
             kLongestStopString);
  return texts;
}

void add_lengths(config::Schema<Config>& s) {
  s.field("max_new_tokens", &Config::max_new_tokens).range(1, kLongest).doc("The most tokens to generate.");
  s.field("max_length", &Config::max_length)
      .range(1, kLongest)
      .doc(
          "The most tokens, prompt included, where max_new_tokens is not given; without either, 20 new "
          "ones.");
  s.field("min_new_tokens", &Config::min_new_tokens)
      .range(0, kLongest)
      .doc("Before so many new tokens none ends the sequence.");
  s.field("min_length", &Config::min_length)
      .range(0, kLongest)
      .doc("The same with the prompt included, where min_new_tokens is not given.");
}

void add_sampling(config::Schema<Config>& s) {
  s.field("do_sample", &Config::do_sample).doc("Draw tokens by chance instead of taking the likeliest.");
  s.field("num_return_sequences", &Config::num_return_sequences)
      .alias("n")
      .range(1, kMostSequences)
      .doc("Answers to one prompt: independent draws, or the best beams.");
  s.field("seed", &Config::seed)
      .at_least(0)
      .doc(
          "Of the draws: the same seed and request give the same answer, whatever else is computed. Without "
          "one "
          "a fresh seed is taken.");
  s.field("temperature", &Config::temperature)
      .range(0, 1e6)
      .doc(
          "Scores are divided by it before a draw; below 1e-5: the likeliest token, as if do_sample were "
          "false.");
  s.field("top_k", &Config::top_k)
      .range(0, kLongest)
      .doc("Only the so many likeliest are drawn from; 0: all.");
  s.field("top_p", &Config::top_p)
      .range(0, 1)
      .doc("Only the fewest likeliest whose probabilities reach this sum are drawn from.");
  s.field("min_p", &Config::min_p)
      .range(0, 1)
      .doc("Only those at least so likely, as a part of the likeliest one's probability.");
  s.field("top_h", &Config::top_h)
      .above(0)
      .doc("Only the likeliest of the first 100 whose entropy stays within this part of theirs all.")
      .limits.max = 1;
  s.field("typical_p", &Config::typical_p)
      .above(0)
      .doc("Only the tokens closest to the expected surprise whose probabilities reach this sum.")
      .limits.max = 1;
  s.field("epsilon_cutoff", &Config::epsilon_cutoff)
      .at_least(0)
      .below(1)
      .doc("Only tokens at least so likely.");
  s.field("eta_cutoff", &Config::eta_cutoff)
      .at_least(0)
      .below(1)
      .doc("The same with a bound that falls with the entropy.");
}

void add_beams(config::Schema<Config>& s) {
  s.field("num_beams", &Config::num_beams)
      .range(1, kMostBeams)
      .doc("Above 1: beam search with so many beams.");
  s.field("length_penalty", &Config::length_penalty)
      .range(-10, 10)
      .doc("Beams are ranked by their log probability divided by length to this power.");
  s.custom("early_stopping", "true | false | never", false,
           [](const Node& node, Config& c, const Rules&, config::Warnings&) {
             c.early_stopping = read_early_stopping(node);
           })
      .doc(
          "Whether beam search ends with num_beams finished sequences, by a heuristic, or only when none can "
          "be "
          "better.");
}

void add_penalties(config::Schema<Config>& s) {
  s.field("repetition_penalty", &Config::repetition_penalty)
      .range(1e-6, 1e6)
      .doc("Scores of tokens of prompt and answer are divided by it (negative ones multiplied).");
  s.field("encoder_repetition_penalty", &Config::encoder_repetition_penalty)
      .range(1e-6, 1e6)
      .doc("Above 1 raises the scores of the prompt's tokens likewise.");
  s.field("presence_penalty", &Config::presence_penalty)
      .range(-2, 2)
      .doc("Taken from the scores of tokens that the answer has (OpenAI's).");
  s.field("frequency_penalty", &Config::frequency_penalty)
      .range(-2, 2)
      .doc("Taken from them once for each time that the answer has them (OpenAI's).");
  s.field("no_repeat_ngram_size", &Config::no_repeat_ngram_size)
      .range(0, kLongest)
      .doc("No run of so many tokens comes twice; 0: no limit.");
  s.field("encoder_no_repeat_ngram_size", &Config::encoder_no_repeat_ngram_size)
      .range(0, kLongest)
      .doc("No run of so many tokens of the prompt comes again; 0: no limit.");
  s.custom("exponential_decay_length_penalty", "[start, factor]", nullptr,
           [](const Node& node, Config& c, const Rules&, config::Warnings&) {
             c.exponential_decay_length_penalty = read_decay(node);
           })
      .doc("Raises the eos token's score with the length, from `start` new tokens on.");
}

template <class Member, class Read>
config::Field& add_list(config::Schema<Config>& s, const char* key, const char* type, Member member,
                        Read read) {
  return s.custom(key, type, Json::array(),
                  [member, read](const Node& node, Config& c, const Rules&, config::Warnings&) {
                    c.*member = read(node);
                  });
}

void add_biases(config::Schema<Config>& s) {
  add_list(s, "sequence_bias", "list of [[token ids], bias]", &Config::sequence_bias, read_sequence_bias)
      .doc("Added to the score of a sequence's last token where the ones before it are there.");
  add_list(s, "logit_bias", "object of token ids and numbers", &Config::logit_bias, read_logit_bias)
      .doc("Added to the scores of single tokens (OpenAI's), each in -100..100.");
  add_list(s, "bad_words_ids", "list of lists of token ids", &Config::bad_words_ids, read_bad_words)
      .doc("Sequences that are never completed.");
  add_list(s, "suppress_tokens", "list of token ids", &Config::suppress_tokens, read_token_list)
      .doc("Tokens that never come.");
  add_list(s, "begin_suppress_tokens", "list of token ids", &Config::begin_suppress_tokens, read_token_list)
      .doc("Tokens that do not come first.");
  s.custom("forced_bos_token_id", "token id", nullptr,
           [](const Node& node, Config& c, const Rules&, config::Warnings&) {
             c.forced_bos_token_id = read_token(node);
           })
      .doc("The first token after a prompt of one.");
  add_list(s, "forced_eos_token_id", "token id or list", &Config::forced_eos_token_id, read_tokens)
      .doc("The token in the last place, where a sequence becomes that long.");
  s.field("remove_invalid_values", &Config::remove_invalid_values)
      .doc("Scores that are no numbers become 0, infinite ones the largest number.");
  s.field("renormalize_logits", &Config::renormalize_logits)
      .doc("After all else scores become log probabilities again; beam search notices.");
}

void add_ends(config::Schema<Config>& s) {
  add_list(s, "eos_token_id", "token id or list", &Config::eos_token_id, read_tokens)
      .doc("Tokens that end a sequence; part of it.");
  add_list(s, "stop_token_ids", "token id or list", &Config::stop_token_ids, read_tokens)
      .doc("Further ones, of this request.");
  s.field("ignore_eos", &Config::ignore_eos).doc("eos_token_id ends nothing.");
  s.custom("stop_strings", "text or list", Json::array(),
           [](const Node& node, Config& c, const Rules& rules, config::Warnings&) {
             c.stop_strings = read_stop_strings(node, rules);
           })
      .alias("stop")
      .doc("Texts that end a sequence and are cut from it.")
      .auto_is_value = true;
  for (auto [key, member] :
       {std::pair{"pad_token_id", &Config::pad_token_id}, {"bos_token_id", &Config::bos_token_id}})
    s.custom(key, "token id", nullptr,
             [member = member](const Node& node, Config& c, const Rules&, config::Warnings&) {
               c.*member = read_token(node);
             })
        .doc("Known; no answer depends on it.");
  s.custom("decoder_start_token_id", "token id", nullptr,
           [](const Node& node, Config& c, const Rules&, config::Warnings&) {
             c.decoder_start_token_id = read_token(node);
           })
      .doc("What answers of models with an encoder start after; of others no answer depends on it.");
  s.field("logprobs", &Config::logprobs)
      .range(0, kMostLogprobs)
      .doc(
          "Return the log probability of each token and of so many likeliest ones, as the model gives them.");
  s.field("echo", &Config::echo).alias("return_full_text").doc("The answer begins with the prompt.");
}

void check_together(const Node& block, Config& c, config::Warnings&) {
  const std::string where = block.where();
  DS_CHECK(c.num_beams == 1 || c.num_return_sequences <= c.num_beams,
           "num_return_sequences = {} is more than num_beams = {} ({})", c.num_return_sequences, c.num_beams,
           where);
  DS_CHECK(
      c.num_beams > 1 || c.draws() || c.num_return_sequences == 1,
      "num_return_sequences = {} needs do_sample with a temperature above 0, or beams: without, all answers "
      "are the same ({})",
      c.num_return_sequences, where);
  DS_CHECK(!c.min_new_tokens || !c.max_new_tokens || *c.min_new_tokens <= *c.max_new_tokens,
           "min_new_tokens = {} is more than max_new_tokens = {} ({})", c.min_new_tokens.value_or(0),
           c.max_new_tokens.value_or(0), where);
  DS_CHECK(!c.exponential_decay_length_penalty || !c.eos_token_id.empty(),
           "exponential_decay_length_penalty needs eos_token_id ({})", where);
}

}  // namespace

config::Schema<GenerationConfig> generation_schema() {
  config::Schema<GenerationConfig> s(
      "How text is generated: transformers' generation_config.json, and OpenAI's.");
  add_lengths(s);
  add_sampling(s);
  add_beams(s);
  add_penalties(s);
  add_biases(s);
  add_ends(s);
  config::add_not_yet_rows(*s.table(), generation_keys_refused());
  s.finish(check_together);
  return s;
}

}  // namespace deepspeed::inference
