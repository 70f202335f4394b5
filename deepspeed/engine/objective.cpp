#include "deepspeed/engine/objective.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/data/open_tokens.h"
#include "deepspeed/engine/accelerator.h"

namespace deepspeed::engine {
namespace {

struct Row {
  const char* name;
  std::unique_ptr<Objective> (*make)(models::ArchSpec, const ObjectiveContext&);
};
constexpr Row kRows[] = {{"clm", causal_objective},
                         {"mlm", masked_objective},
                         {"sequence-classification", classification_objective},
                         {"token-classification", token_objective},
                         {"question-answering", answer_objective}};

const Row& row_of(const std::string& name) {
  std::string known;
  for (const Row& row : kRows) {
    if (name == row.name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  base::fail("--objective '{}' is unknown ({})", name, known);
}

}  // namespace

std::string Objective::describe(const Score& score) const {
  return fmt::format("held-out loss {:.4f}, perplexity {:.2f}", score.mean_loss(),
                     std::exp(score.mean_loss()));
}

void check_objective(const std::string& name) { row_of(name); }

std::unique_ptr<Objective> make_objective(models::ArchSpec spec, const ObjectiveContext& context) {
  const Row& row = row_of(context.options.objective);
  const bool causal = row.make == causal_objective;
  DS_CHECK(spec.bidirectional != causal && !spec.is_encoder_decoder(),
           "--objective {} wants {}; \"{}\" ({}) is not one", row.name, causal ? "a decoder" : "an encoder",
           spec.model_type, (context.options.model / "config.json").string());
  return row.make(std::move(spec), context);
}

data::TokenStorePtr open_store(const std::filesystem::path& file, const ObjectiveContext& context) {
  return data::open_tokens(file, {.bytes_per_token = context.options.data_dtype == "u32" ? 4 : 2,
                                  .text_field = context.options.text_field,
                                  .tokenizer = context.tokenizer});
}

Score held_out_score(Objective& objective, const data::Dataset& held_out, comm::Group& group,
                     int64_t micro_batch) {
  at::NoGradGuard no_grad;
  const auto model = objective.model();
  model->eval();
  Score total;
  // Every rank runs the model equally often, sample or not: sharded parameters are gathered by all.
  const int64_t most = (held_out.size() + group.size() - 1) / group.size();
  for (int64_t first = 0; first < most; first += micro_batch) {
    std::vector<int64_t> samples;
    for (int64_t i = first; i < std::min(most, first + micro_batch); ++i)
      if (const int64_t sample = i * group.size() + group.rank(); sample < held_out.size())
        samples.push_back(sample);
    const bool counts = !samples.empty();
    if (!counts) samples.push_back(0);
    const Score score = objective.score(on_device(data::collate(held_out, samples), group.device()));
    if (!counts) continue;
    total.loss += score.loss;
    total.predictions += score.predictions;
    total.correct += score.correct;
  }
  model->train();
  at::Tensor sums = at::zeros({3}, at::kDouble);
  auto* sum = sums.mutable_data_ptr<double>();
  sum[0] = total.loss, sum[1] = total.predictions, sum[2] = total.correct;
  group.all_reduce(sums);
  return {sum[0], sum[1], sum[2]};
}

}  // namespace deepspeed::engine
