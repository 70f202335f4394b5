#include "deepspeed/inference/sharding_check.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/inference/tasks/feature_extraction.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder_decoder.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/tensor_parallel/self_check.h"

namespace deepspeed::inference {
namespace {

constexpr int64_t kPromptTokens = 16;

// [1, T]: tokens that lie evenly in the vocabulary, of which every rank may have a part.
at::Tensor prompt_of(const ModelSource& source) {
  const int64_t length = std::min(kPromptTokens, static_cast<int64_t>(source.longest));
  return at::arange(length).mul(source.spec.vocab).div(length, "floor").view({1, length});
}

at::Tensor run_prompt(torch::nn::Module& model, const ModelSource& source, Task task) {
  const at::Tensor ids = prompt_of(source);
  const models::EncoderInput input{ids, std::nullopt, std::nullopt};
  switch (task) {
    case Task::kTextGeneration:
      return dynamic_cast<models::Decoder&>(model).logits(ids);
    case Task::kText2TextGeneration:
      return dynamic_cast<models::EncoderDecoder&>(model).logits(
          ids, at::full({1, 1}, source.spec.decoder_start, at::kLong));
    case Task::kFillMask:
      return dynamic_cast<models::MaskedLanguageModel&>(model).logits(input);
    case Task::kTextClassification:
      return dynamic_cast<models::SequenceClassifier&>(model).logits(input);
    case Task::kTokenClassification:
      return dynamic_cast<models::TokenClassifier&>(model).logits(input);
    case Task::kQuestionAnswering:
      return dynamic_cast<models::QuestionAnswerer&>(model).logits(input);
    case Task::kFeatureExtraction:
      break;
  }
  return dynamic_cast<BareEncoder&>(model).forward(input);
}

}  // namespace

void check_sharding(torch::nn::Module& sharded, torch::nn::Module& whole, const ModelSource& source,
                    Task task, comm::Group& group) {
  DS_CHECK(
      source.spec.experts.count == 0 || group.size() == 1 ||
          sharded.parameters().front().scalar_type() == at::kFloat,
      "tensor_parallel.check_against_one_rank: where 16 bits round, routers choose other experts (check with "
      "dtype fp32)");
  const auto run = [&](torch::nn::Module& model) { return run_prompt(model, source, task); };
  const double difference =
      tensor_parallel::check_against_one_rank(sharded, whole, *source.weights, group, {.run = run});
  if (group.rank() == 0)
    base::log_info("{} ranks give what one rank gives, but for {:.2g} of the largest value", group.size(),
                   difference);
}

}  // namespace deepspeed::inference
