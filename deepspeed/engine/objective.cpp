#include "deepspeed/engine/objective.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/data/open_tokens.h"

namespace deepspeed::engine {
namespace {

struct Row {
  const char* name;
  std::unique_ptr<Objective> (*make)(models::ArchSpec, const ObjectiveContext&);  // null: not available yet
};
constexpr Row kRows[] = {{"clm", causal_objective},
                         {"mlm", masked_objective},
                         {"sequence-classification", classification_objective},
                         {"token-classification", nullptr},
                         {"question-answering", nullptr}};

const Row& row_of(const std::string& name) {
  std::string known;
  for (const Row& row : kRows) {
    if (name == row.name) {
      DS_CHECK(row.make != nullptr,
               "--objective {} is not available yet (clm, mlm and sequence-classification are)", name);
      return row;
    }
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
  DS_CHECK(spec.bidirectional != causal, "--objective {} wants {}; \"{}\" ({}) is not one", row.name,
           causal ? "a decoder" : "an encoder", spec.model_type,
           (context.options.model / "config.json").string());
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
  std::vector<int64_t> samples;
  for (int64_t i = group.rank(); i < held_out.size(); i += group.size()) {
    samples.push_back(i);
    const bool last = i + group.size() >= held_out.size();
    if (!last && static_cast<int64_t>(samples.size()) < micro_batch) continue;
    const Score score = objective.score(data::collate(held_out, samples));
    total.loss += score.loss;
    total.predictions += score.predictions;
    total.correct += score.correct;
    samples.clear();
  }
  model->train();
  at::Tensor sums = at::zeros({3}, at::kDouble);
  auto* sum = sums.mutable_data_ptr<double>();
  sum[0] = total.loss, sum[1] = total.predictions, sum[2] = total.correct;
  group.all_reduce(sums);
  return {sum[0], sum[1], sum[2]};
}

}  // namespace deepspeed::engine
