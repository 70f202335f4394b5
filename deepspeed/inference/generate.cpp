#include "deepspeed/inference/generate.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/search.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {
namespace {

constexpr int64_t kDefaultNewTokens = 20;  // transformers', where nobody says
constexpr int64_t kCacheStep = 256;        // positions by which the cache grows at least

size_t max_length_of(const GenerationConfig& c, size_t prompt_tokens, int64_t positions) {
  const auto prompt = static_cast<int64_t>(prompt_tokens);
  const int64_t wanted =
      c.max_new_tokens ? prompt + *c.max_new_tokens : c.max_length.value_or(prompt + kDefaultNewTokens);
  return static_cast<size_t>(std::min(wanted, positions));
}

uint64_t seed_of(const GenerationConfig& config) {
  if (config.seed) return static_cast<uint64_t>(*config.seed);
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) >> 1;  // one that can be asked for again
}

class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& model) : model_(model), was_training_(model.is_training()) {
    model.eval();
  }
  ~EvaluationMode() { model_.train(was_training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  torch::nn::Module& model_;
  bool was_training_;
};

// What the answer of a model with an encoder starts after.
int32_t first_token(const Request& request, const models::ArchSpec& spec) {
  DS_CHECK(!request.prompt.empty(), "generation needs a prompt of at least one token");
  DS_CHECK(!request.config.echo, "echo: the answer of a model with an encoder does not contain its prompt");
  const int32_t token =
      request.config.decoder_start_token_id.value_or(static_cast<int32_t>(spec.decoder_start));
  DS_CHECK(token < spec.vocab, "decoder_start_token_id: token {} is not in the vocabulary of {}", token,
           spec.vocab);
  return token;
}

// What the encoder makes of the prompts, padded on the right.
models::Memory read_inputs(models::EncoderDecoder& model, const std::vector<Request>& requests) {
  const auto rows = static_cast<int64_t>(requests.size());
  size_t longest = 0;
  std::vector<int32_t> ends;
  for (const Request& request : requests) {
    longest = std::max(longest, request.prompt.size());
    ends.push_back(static_cast<int32_t>(request.prompt.size()));
  }
  const at::Tensor ids = at::zeros({rows, static_cast<int64_t>(longest)}, at::kLong);
  auto* id = ids.mutable_data_ptr<int64_t>();
  for (size_t r = 0; r < requests.size(); ++r)
    std::copy(requests[r].prompt.begin(), requests[r].prompt.end(), id + r * longest);
  const bool ragged =
      std::any_of(ends.begin(), ends.end(), [&](int32_t end) { return static_cast<size_t>(end) < longest; });
  const at::Device device = nn::device_of(model);
  return model.encode(ids.to(device),
                      ragged ? std::optional(at::tensor(ends, at::kInt).to(device)) : std::nullopt,
                      /*keeps_keys=*/true);
}

// The requests of one call.
class Batch {
 public:
  /// `reader`: the model with an encoder whose decoder `model` is; null: it is alone.
  Batch(models::Decoder& model, models::EncoderDecoder* reader, const std::vector<Request>& requests,
        const GenerateOptions& options);
  std::vector<Answer> run();

 private:
  void add_search(const Request& request, const GenerateOptions& options);
  void make_room(int64_t count);
  /// Final hidden states of further tokens of every row, on the model's device.
  at::Tensor hidden_states(const at::Tensor& ids, const std::optional<at::Tensor>& starts);
  at::Tensor read_prompts();
  void read_prompt_logprobs(const at::Tensor& hidden, int64_t longest);
  /// Shows each search its rows of `logits` and takes the rows of the next step; false when there are none.
  bool advance(const at::Tensor& logits);
  at::Tensor next_logits();
  at::Tensor logits_of_whole_rows();
  std::optional<at::Tensor> row_starts() const;

  models::Decoder& model_;
  at::Device device_;
  models::EncoderDecoder* reader_;
  std::optional<models::Memory> memory_;  // what it has read
  const std::vector<Request>& requests_;
  std::vector<std::vector<int32_t>> prompts_;  // what the decoder's sequences begin with
  std::vector<std::unique_ptr<Search>> searches_;
  std::vector<Answer> answers_;
  size_t longest_ = 0;  // tokens of the longest prompt
  size_t room_ = 0;     // tokens that the longest answer adds to its prompt
  nn::ContiguousKvCache cache_;
  std::vector<size_t> rows_of_;  // how many rows each search holds; they lie one search after the other
  std::vector<int32_t> starts_;  // where each row's sequence begins in the cache
  std::vector<int64_t> tokens_;  // what each row's sequence goes on with
  bool may_read_anew_;           // keys turn otherwise from some length on (models::Rope)
  std::vector<std::vector<int64_t>> sequences_;  // then: each row's, `tokens_` included
};

Batch::Batch(models::Decoder& model, models::EncoderDecoder* reader, const std::vector<Request>& requests,
             const GenerateOptions& options)
    : model_(model),
      device_(nn::device_of(model)),
      reader_(reader),
      requests_(requests),
      cache_(static_cast<size_t>(model.spec().layers), 0),
      may_read_anew_(model.spec().rope.stretch == models::RopeStretch::kLongrope) {
  for (const Request& request : requests) add_search(request, options);
}

void Batch::add_search(const Request& request, const GenerateOptions& options) {
  const size_t number = searches_.size();
  const auto& spec = model_.spec();
  size_t max_length = 0;
  try {
    for (const int32_t id : request.prompt)
      DS_CHECK(id >= 0 && id < spec.vocab, "prompt token {} is not in the vocabulary of {}", id, spec.vocab);
    request.config.check_tokens(spec.vocab);
    prompts_.push_back(request.prompt);
    if (reader_ != nullptr) prompts_.back() = {first_token(request, spec)};
    max_length = max_length_of(request.config, prompts_.back().size(), spec.max_positions);
    answers_.push_back({.seed = seed_of(request.config)});
    searches_.push_back(make_search({.prompt = prompts_.back(),
                                     .config = request.config,
                                     .max_length = max_length,
                                     .input = reader_ != nullptr ? request.prompt : std::vector<int32_t>(),
                                     .seed = answers_.back().seed,
                                     .tokenizer = options.tokenizer,
                                     .request = number,
                                     .listener = options.listener}));
  } catch (const base::Error& error) {
    if (requests_.size() == 1) throw;
    base::fail("request {}: {}", number, error.what());
  }
  longest_ = std::max(longest_, prompts_.back().size());
  room_ = std::max(room_, max_length - prompts_.back().size());
  rows_of_.push_back(1);
}

// For further positions, a good many at once.
void Batch::make_room(int64_t count) {
  const int64_t needed = cache_.length() + count;
  if (needed <= cache_.capacity()) return;
  const auto most = static_cast<int64_t>(longest_ + room_);
  cache_.reserve(std::min(needed + std::max(kCacheStep, needed / 2), most));
}

at::Tensor Batch::hidden_states(const at::Tensor& ids, const std::optional<at::Tensor>& starts) {
  return model_.hidden_states(ids.to(device_), &cache_,
                              starts ? std::optional(starts->to(device_)) : std::nullopt,
                              memory_ ? &*memory_ : nullptr);
}

// The scores after each prompt.
at::Tensor Batch::read_prompts() {
  const auto rows = static_cast<int64_t>(requests_.size()), length = static_cast<int64_t>(longest_);
  at::Tensor ids = at::empty({rows, length}, at::kLong), starts = at::empty({rows, length}, at::kInt);
  auto* id = ids.mutable_data_ptr<int64_t>();
  auto* start = starts.mutable_data_ptr<int32_t>();
  for (const auto& prompt : prompts_) {
    const size_t padding = longest_ - prompt.size();
    // Each place of the padding is a document of its own, so that no position is negative.
    for (size_t t = 0; t < longest_; ++t) {
      *id++ = t < padding ? 0 : prompt[t - padding];
      *start++ = static_cast<int32_t>(std::min(t, padding));
    }
    starts_.push_back(static_cast<int32_t>(padding));
    if (may_read_anew_) sequences_.emplace_back(prompt.begin(), prompt.end());
  }
  make_room(length);
  const bool ragged = std::any_of(starts_.begin(), starts_.end(), [](int32_t s) { return s > 0; });
  const at::Tensor hidden = hidden_states(ids, ragged ? std::optional(starts) : std::nullopt);
  read_prompt_logprobs(hidden, length);
  return model_.logits_of(hidden.select(1, length - 1));
}

void Batch::read_prompt_logprobs(const at::Tensor& hidden, int64_t longest) {
  for (size_t r = 0; r < requests_.size(); ++r) {
    const GenerationConfig& config = requests_[r].config;
    const std::vector<int32_t>& prompt = prompts_[r];
    const auto length = static_cast<int64_t>(prompt.size());
    if (!config.echo || !config.logprobs || length == 1) continue;
    const at::Tensor scores =
        model_.logits_of(hidden[static_cast<int64_t>(r)].narrow(0, longest - length, length - 1))
            .to(at::kCPU, at::kFloat)
            .contiguous();
    const auto vocabulary = static_cast<size_t>(scores.size(1));
    for (size_t t = 0; t + 1 < prompt.size(); ++t)
      answers_[r].prompt_logprobs.push_back(
          logprob_of({scores.const_data_ptr<float>() + t * vocabulary, vocabulary}, prompt[t + 1],
                     static_cast<size_t>(*config.logprobs)));
  }
}

bool Batch::advance(const at::Tensor& logits) {
  const at::Tensor scores = logits.to(at::kCPU, at::kFloat).contiguous();
  const auto vocabulary = static_cast<size_t>(scores.size(1));
  const float* score = scores.const_data_ptr<float>();
  std::vector<int64_t> parents;
  std::vector<int32_t> starts;
  std::vector<std::vector<int64_t>> sequences;
  tokens_.clear();
  size_t row = 0;
  for (size_t s = 0; s < searches_.size(); ++s) {
    if (rows_of_[s] == 0) continue;
    std::vector<std::span<const float>> rows;
    for (size_t i = 0; i < rows_of_[s]; ++i) rows.emplace_back(score + (row + i) * vocabulary, vocabulary);
    const std::vector<Continuation> next = searches_[s]->advance(rows);
    for (const Continuation& one : next) {
      parents.push_back(static_cast<int64_t>(row + one.parent));
      starts.push_back(starts_[row + one.parent]);
      tokens_.push_back(one.token);
      if (!may_read_anew_) continue;
      sequences.push_back(sequences_[row + one.parent]);
      sequences.back().push_back(one.token);
    }
    row += rows_of_[s];
    rows_of_[s] = next.size();
  }
  if (tokens_.empty()) return false;
  starts_ = std::move(starts);
  sequences_ = std::move(sequences);
  cache_.select_rows(parents);
  if (memory_) memory_->select_rows(parents);
  return true;
}

std::optional<at::Tensor> Batch::row_starts() const {
  if (std::all_of(starts_.begin(), starts_.end(), [](int32_t s) { return s == 0; })) return std::nullopt;
  return at::tensor(starts_, at::kInt).unsqueeze(1);
}

// As transformers does. Rows are of one length here: the decoder takes no others together.
at::Tensor Batch::logits_of_whole_rows() {
  const auto rows = static_cast<int64_t>(sequences_.size());
  const auto length = static_cast<int64_t>(sequences_.front().size());
  cache_ = nn::ContiguousKvCache(static_cast<size_t>(model_.spec().layers), 0);
  make_room(length);
  at::Tensor ids = at::empty({rows, length}, at::kLong);
  for (int64_t r = 0; r < rows; ++r) ids[r].copy_(at::tensor(sequences_[static_cast<size_t>(r)], at::kLong));
  return model_.logits_of(hidden_states(ids, std::nullopt).select(1, length - 1));
}

at::Tensor Batch::next_logits() {
  if (!model_.spec().rope.keeps_keys(cache_.length(), cache_.length() + 1)) return logits_of_whole_rows();
  make_room(1);
  const at::Tensor ids = at::tensor(tokens_, at::kLong).unsqueeze(1);
  return model_.logits_of(hidden_states(ids, row_starts()).select(1, 0));
}

std::vector<Answer> Batch::run() {
  if (requests_.empty()) return {};
  if (reader_ != nullptr) memory_ = read_inputs(*reader_, requests_);
  for (bool more = advance(read_prompts()); more;) more = advance(next_logits());
  for (size_t s = 0; s < searches_.size(); ++s) answers_[s].sequences = searches_[s]->finish();
  return std::move(answers_);
}

}  // namespace

std::vector<Answer> generate(models::Decoder& model, const std::vector<Request>& requests,
                             const GenerateOptions& options) {
  const at::NoGradGuard no_grad;
  const EvaluationMode evaluation(model);
  return Batch(model, nullptr, requests, options).run();
}

std::vector<Answer> generate(models::EncoderDecoder& model, const std::vector<Request>& requests,
                             const GenerateOptions& options) {
  const at::NoGradGuard no_grad;
  const EvaluationMode evaluation(model);
  return Batch(model.decoder(), &model, requests, options).run();
}

}  // namespace deepspeed::inference
