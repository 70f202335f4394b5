// Models with an encoder and a decoder over two ranks and three: logits and answers are those of one rank, so
// are gradients; what ranks send.
#include "deepspeed/models/encoder_decoder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "deepspeed/comm/ranks.h"
#include "deepspeed/comm/traffic.h"
#include "deepspeed/inference/generate.h"
#include "tests/tensor_parallel/tiny.h"

namespace deepspeed::tensor_parallel {
namespace {

using models::EncoderDecoder;

class EncoderDecoders : public testing::TestWithParam<const char*> {
 protected:
  const formats::SafetensorsFile expected_ = golden(GetParam());
  const at::Tensor ids_ = tensor_of(expected_, "ids"), labels_ = tensor_of(expected_, "labels");
  const std::optional<at::Tensor> ends_ = tensor_of(expected_, "ends").to(at::kInt);
};
INSTANTIATE_TEST_SUITE_P(TensorParallel, EncoderDecoders, testing::Values("t5", "t5_gated"),
                         [](const auto& info) { return std::string(info.param); });

// Bytes for each of the other ranks, as of decoders alone: a sum for each stack's embeddings, for attention
// and MLP of a layer of the encoder, and for both attentions and the MLP of one of the decoder.
int64_t bytes_to_each(const models::ArchSpec& spec, const Part& part, int ranks, int64_t inputs,
                      int64_t answers) {
  const int64_t rows = (1 + 2 * spec.layers) * inputs + (1 + 3 * spec.decoder_layers) * answers;
  return rows * 2 * spec.hidden * 4 / ranks + answers * part.vocabulary.count * 4;
}

TEST_P(EncoderDecoders, GiveTheLogitsOfTransformersForTheBytesOfTheFormula) {
  for (const int n : {2, 3, 4}) {
    comm::run_ranks(n, [&](comm::GroupPtr group) {
      const at::NoGradGuard no_grad;
      const auto model = sharded_model<EncoderDecoder>(GetParam(), group);
      comm::Traffic traffic;
      group->set_observer(traffic.observer());
      const at::Tensor logits = model->logits(ids_, model->shifted(labels_), ends_);
      group->set_observer(nullptr);
      EXPECT_LT(largest_difference(logits, tensor_of(expected_, "logits")), 1e-4) << n << " ranks";
      const Part part = Plan(model->spec(), n).part(group->rank());
      EXPECT_EQ(traffic.sent(),
                (n - 1) * bytes_to_each(model->spec(), part, n, ids_.numel(), labels_.numel()));
    });
  }
}

TEST_P(EncoderDecoders, LossAndGradientsAreThoseOfOneRank) {
  // Initial weights, not the wide ones of the goldens, which blow the rounding of sums in another order up.
  const auto spec = spec_of(GetParam());
  const nn::InitSource source(3);
  EncoderDecoder whole(spec, std::make_shared<accel::Rng>(1));
  nn::DenseMaterializer().materialize(nn::list_parameters(whole), source);
  whole.eval();
  const at::Tensor loss = whole.forward(ids_, labels_, ends_);
  loss.backward();
  const auto gradients = whole.named_parameters();
  for (const int n : {2, 3})
    comm::run_ranks(n, [&](comm::GroupPtr group) {
      EncoderDecoder model(spec, std::make_shared<accel::Rng>(1));
      const Sharding sharding = load(model, spec, source, group, {.training = true});
      model.eval();
      const at::Tensor part_loss = model.forward(ids_, labels_, ends_);
      EXPECT_NEAR(part_loss.item<double>(), loss.item<double>(), 1e-5);
      part_loss.backward();
      for (const auto& parameter : nn::list_parameters(model)) {
        const at::Tensor all = gradients[parameter.name].grad().to_dense().reshape({-1}),
                         mine = parameter.tensor.grad().reshape({-1});
        for (const Stretch& run : sharding.slice(parameter.name).stretches(0, parameter.numel()))
          EXPECT_LT(
              largest_difference(mine.narrow(0, run.slice, run.count), all.narrow(0, run.whole, run.count)),
              1e-5)
              << parameter.name;
      }
    });
}

TEST_P(EncoderDecoders, AnswerAsOneRankGreedySampledAndWithBeams) {
  std::vector<inference::Request> requests;
  for (const char* asked :
       {R"({"max_new_tokens": 12})",
        R"({"max_new_tokens": 9, "do_sample": true, "n": 2, "seed": 5, "temperature": 2})",
        R"({"max_new_tokens": 8, "num_beams": 3, "num_return_sequences": 2})"}) {
    std::vector<int32_t> prompt;
    for (size_t t = 0; t < 4 * requests.size() + 3; ++t)
      prompt.push_back(static_cast<int32_t>((7 + 29 * t) % 67));
    requests.push_back({prompt, inference::parse_generation(config::Json::parse(asked))});
  }
  const auto tokens = [&](EncoderDecoder& model) {
    std::vector<std::vector<int32_t>> all;
    for (const auto& answer : inference::generate(model, requests))
      for (const auto& sequence : answer.sequences) all.push_back(sequence.tokens);
    return all;
  };
  const auto alone = tokens(*whole_model<EncoderDecoder>(GetParam()));
  for (const int n : {2, 3})
    comm::run_ranks(n, [&](comm::GroupPtr group) {
      EXPECT_EQ(tokens(*sharded_model<EncoderDecoder>(GetParam(), group)), alone) << n << " ranks";
    });
}

}  // namespace
}  // namespace deepspeed::tensor_parallel
