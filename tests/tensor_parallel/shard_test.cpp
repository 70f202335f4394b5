// Every family over two ranks and more against transformers and one rank: logits, greedy continuations,
// gradients; what a rank holds, reads and sends.
#include "deepspeed/tensor_parallel/shard.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"
#include "deepspeed/comm/traffic.h"
#include "deepspeed/models/generate.h"
#include "deepspeed/tensor_parallel/projections.h"
#include "tests/tensor_parallel/tiny.h"

namespace deepspeed::tensor_parallel {
namespace {

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// As heads allow.
std::vector<int> rank_counts(const std::string& family) {
  std::vector<int> counts;
  for (int n = 2; n <= std::min<int64_t>(4, spec_of(family).heads); ++n) counts.push_back(n);
  return counts;
}

// What every rank computed, and that all have the same bits.
class Ranks {
 public:
  void add(const at::Tensor& result) {
    const std::lock_guard lock(mutex_);
    if (first_.defined()) {
      EXPECT_TRUE(at::equal(first_, result)) << "ranks differ";
    }
    first_ = result;
  }
  const at::Tensor& result() const { return first_; }

 private:
  std::mutex mutex_;
  at::Tensor first_;
};

class DecoderFamily : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(TensorParallel, DecoderFamily, testing::ValuesIn(families(/*encoders=*/false)),
                         test_name);

TEST_P(DecoderFamily, GivesTheLogitsOfTransformersAndOfOneRank) {
  const auto expected = golden(GetParam());
  const at::Tensor ids = tensor_of(expected, "input_ids"), wanted = tensor_of(expected, "logits");
  const at::NoGradGuard no_grad;
  const at::Tensor alone = whole_model(GetParam())->logits(ids);
  for (const int n : rank_counts(GetParam())) {
    Ranks ranks;
    comm::run_ranks(n, [&](comm::GroupPtr group) {
      const at::NoGradGuard rank_no_grad;
      ranks.add(sharded_model(GetParam(), group)->logits(ids));
    });
    EXPECT_LT(largest_difference(ranks.result(), wanted), 1e-4) << n << " ranks";
    EXPECT_LT(largest_difference(ranks.result(), alone), 1e-4) << n << " ranks";
  }
}

std::vector<int32_t> row_of(const at::Tensor& t, int64_t row) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < t.size(1); ++i) ids.push_back(static_cast<int32_t>(t[row][i].item<int64_t>()));
  return ids;
}

// Up to the first step at which the two best logits of transformers are nearly tied.
TEST_P(DecoderFamily, ContinuesAPromptAsTransformersDoes) {
  const auto expected = golden(GetParam());
  const at::Tensor prompts = tensor_of(expected, "prompts"), made = tensor_of(expected, "continuations"),
                   ties = tensor_of(expected, "first_near_tie");
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    auto model = sharded_model(GetParam(), group);
    const auto ours =
        models::generate(*model, row_of(prompts, 0), {.max_new_tokens = made.size(1), .temperature = 0});
    const auto theirs = row_of(made, 0);
    const auto sure = static_cast<ptrdiff_t>(ties[0].item<int64_t>());
    ASSERT_EQ(ours.size(), theirs.size());
    EXPECT_TRUE(std::equal(ours.begin(), ours.begin() + sure, theirs.begin()));
  });
}

class EncoderFamily : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(TensorParallel, EncoderFamily,
                         testing::Values("bert", "roberta", "xlm_roberta", "distilbert", "albert",
                                         "deberta_v2", "deberta_v2_own"),
                         test_name);

// Of positions that are not padding, where there are positions.
double real_difference(const at::Tensor& a, const at::Tensor& b, const at::Tensor& ends) {
  at::Tensor difference = (a - b).abs().amax(-1);
  if (difference.dim() == 2)
    difference = difference.masked_select(at::arange(a.size(1)).unsqueeze(0) < ends.unsqueeze(1));
  return difference.max().item<double>();
}

template <class Model>
void expect_encoder(const std::string& family, const std::string& head) {
  const auto expected = golden(family + "-" + head);
  const at::Tensor ends = tensor_of(expected, "ends").to(at::kInt), wanted = tensor_of(expected, "logits");
  const models::EncoderInput input{tensor_of(expected, "ids"), tensor_of(expected, "token_types"), ends};
  for (const int n : {2, 3}) {
    Ranks ranks;
    comm::run_ranks(n, [&](comm::GroupPtr group) {
      const at::NoGradGuard no_grad;
      ranks.add(sharded_model<Model>(family, group)->logits(input));
    });
    EXPECT_LT(real_difference(ranks.result(), wanted, ends), 1e-4) << head << ", " << n << " ranks";
  }
}

TEST_P(EncoderFamily, GivesTheLogitsOfTransformersWithEveryHead) {
  expect_encoder<models::MaskedLanguageModel>(GetParam(), "mlm");
  expect_encoder<models::SequenceClassifier>(GetParam(), "classes");
  expect_encoder<models::TokenClassifier>(GetParam(), "tokens");
  expect_encoder<models::QuestionAnswerer>(GetParam(), "answers");
}

// ---- what a rank holds, reads and sends

// Bytes for each of the other ranks: the embedding, every attention and MLP are sums of [B, T, hidden], each
// a reduce-scatter and an all-gather, and of the logits a rank sends its own columns.
int64_t bytes_to_each(const models::ArchSpec& spec, const Part& part, int ranks, int64_t tokens) {
  const int64_t sums = 1 + 2 * spec.depth();
  return sums * (2 * tokens * spec.hidden * 4 / ranks) + tokens * part.vocabulary.count * 4;
}

TEST_P(DecoderFamily, SendsWhatTheFormulaSays) {
  const auto expected = golden(GetParam());
  const at::Tensor ids = tensor_of(expected, "input_ids");
  for (const int n : {2, 3}) {
    comm::run_ranks(n, [&](comm::GroupPtr group) {
      const at::NoGradGuard no_grad;
      auto model = sharded_model(GetParam(), group);
      comm::Traffic traffic;
      group->set_observer(traffic.observer());
      model->logits(ids);
      group->set_observer(nullptr);
      const Plan plan(model->spec(), n);
      EXPECT_EQ(traffic.sent(),
                (n - 1) * bytes_to_each(model->spec(), plan.part(group->rank()), n, ids.numel()));
    });
  }
}

// Counts the elements that are asked for.
class CountingSource : public nn::ParameterSource {
 public:
  explicit CountingSource(const nn::ParameterSource& inner) : inner_(inner) {}
  void fill(const nn::ParameterSpec& spec, int64_t begin, at::Tensor slice) const override {
    read += slice.numel();
    inner_.fill(spec, begin, std::move(slice));
  }
  mutable int64_t read = 0;

 private:
  const nn::ParameterSource& inner_;
};

int64_t elements(const std::vector<nn::ParameterSpec>& parameters) {
  int64_t total = 0;
  for (const auto& parameter : parameters) total += parameter.numel();
  return total;
}

TEST_P(DecoderFamily, HoldsAndReadsItsSlicesAlone) {
  const auto spec = spec_of(GetParam());
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    models::Decoder whole(spec, nullptr), model(spec, nullptr);
    const auto weights = weights_of(GetParam(), spec);
    const CountingSource source(weights);
    const Sharding sharding = load(model, spec, source, group);
    int64_t bytes = 0, planned = 0;
    for (const auto& parameter : nn::list_parameters(whole))
      planned += Plan(spec, 2).slice(parameter.name, parameter.shape, group->rank()).numel();
    for (const auto& parameter : nn::list_parameters(model))
      bytes += static_cast<int64_t>(parameter.tensor.storage().nbytes());
    EXPECT_EQ(sharding.numel(), planned);
    EXPECT_EQ(bytes, 4 * planned);
    EXPECT_EQ(source.read, planned);
    EXPECT_LT(planned, elements(nn::list_parameters(whole)) * 3 / 4);
    EXPECT_EQ(elements(sharding.whole(nn::list_parameters(model))), elements(nn::list_parameters(whole)));
  });
}

TEST(Shard, RanksHaveTheSlicesOfOneInitialisation) {
  const auto spec = spec_of("gpt2");
  models::Decoder whole(spec, std::make_shared<accel::Rng>(1));
  nn::DenseMaterializer().materialize(nn::list_parameters(whole), nn::InitSource(5));
  const auto wanted = whole.named_parameters();
  comm::run_ranks(3, [&](comm::GroupPtr group) {
    models::Decoder model(spec, std::make_shared<accel::Rng>(1));
    const Sharding sharding = load(model, spec, nn::InitSource(5), group);
    for (const auto& parameter : nn::list_parameters(model)) {
      const at::Tensor all = wanted[parameter.name].detach();
      const Slice& slice = sharding.slice(parameter.name);
      std::vector<at::Tensor> pieces;
      if (!slice.dim) pieces.push_back(all);
      for (const Range& range : slice.ranges)
        pieces.push_back(all.narrow(static_cast<int64_t>(*slice.dim), range.begin, range.count));
      EXPECT_TRUE(
          at::equal(parameter.tensor.detach(), at::cat(pieces, static_cast<int64_t>(slice.dim.value_or(0)))))
          << parameter.name;
    }
  });
}

TEST(Shard, WantsAModelThatIsNotRead) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const auto model = whole_model("llama");
    EXPECT_THROW(shard(*model, model->spec(), group), base::Error);
  });
}

TEST(Shard, RefusesIdsOutsideTheVocabulary) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const auto model = sharded_model("llama", group);
    EXPECT_THROW(model->logits(at::full({1, 2}, model->spec().vocab, at::kLong)), base::Error);
  });
}

TEST(Shard, LeavesTablesWholeWhereAsked) {
  const auto expected = golden("llama");
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const at::NoGradGuard no_grad;
    const auto model = sharded_model("llama", group, {.vocabulary = false});
    EXPECT_EQ(model->named_parameters()["embedding.weight"].size(0), model->spec().vocab);
    EXPECT_LT(
        largest_difference(model->logits(tensor_of(expected, "input_ids")), tensor_of(expected, "logits")),
        1e-4);
  });
}

// Two replicas of two ranks: the group is any of the world's.
TEST(Shard, WorksInAnyGroup) {
  const auto expected = golden("llama");
  comm::run_ranks(4, [&](comm::GroupPtr world) {
    const at::NoGradGuard no_grad;
    const auto first = world->new_group({0, 1}), second = world->new_group({3, 2});
    const auto model = sharded_model("llama", world->rank() < 2 ? first : second);
    EXPECT_LT(
        largest_difference(model->logits(tensor_of(expected, "input_ids")), tensor_of(expected, "logits")),
        1e-4);
  });
}

// Sums of rounded products: as far from one rank as bf16 is from itself.
TEST(Shard, InBf16GivesTheSameBitsOnAllRanksAndOneRanksLogitsToItsPrecision) {
  for (const char* family : {"llama", "gpt2", "gemma2"}) {
    const auto spec = spec_of(family);
    const auto weights = weights_of(family, spec);
    const at::Tensor ids = tensor_of(golden(family), "input_ids");
    const auto logits = [&](comm::GroupPtr group) {
      const at::NoGradGuard no_grad;
      models::Decoder model(spec, std::make_shared<accel::Rng>(1));
      const Sharding sharding = shard(model, spec, group);
      auto parameters = nn::list_parameters(model);
      for (auto& parameter : parameters) parameter.dtype = at::kBFloat16;
      nn::DenseMaterializer().materialize(parameters, SliceSource(weights, sharding));
      model.eval();
      return model.logits(ids);
    };
    const at::Tensor alone = logits(comm::single_group());
    EXPECT_EQ(alone.scalar_type(), at::kBFloat16);
    Ranks ranks;
    comm::run_ranks(2, [&](comm::GroupPtr group) { ranks.add(logits(group)); });
    const at::Tensor a = alone.to(at::kFloat), b = ranks.result().to(at::kFloat);
    EXPECT_LT(((a - b).norm() / a.norm()).item<double>(), 2e-2) << family;
  }
}

// ---- training

// With keys that several ranks have (gemma, falcon-7b) and norms of heads (qwen3, phi, gemma3) among them.
TEST(Training, LossAndGradientsAreThoseOfOneRank) {
  for (const char* family : {"gpt2", "llama", "gpt_neox", "bloom", "opt", "gptj", "qwen3", "phi", "gemma3",
                             "gemma", "falcon-7b"}) {
    const auto whole = whole_model(family);
    const at::Tensor ids = tensor_of(golden(family), "input_ids");
    const at::Tensor loss = whole->forward(ids, ids);
    loss.backward();
    const auto gradients = whole->named_parameters();
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      const auto spec = spec_of(family);
      models::Decoder model(spec, std::make_shared<accel::Rng>(1));
      const Sharding sharding = load(model, spec, weights_of(family, spec), group, {.training = true});
      model.eval();
      const at::Tensor part_loss = model.forward(ids, ids);
      EXPECT_NEAR(part_loss.item<double>(), loss.item<double>(), 1e-5);
      part_loss.backward();
      for (const auto& parameter : nn::list_parameters(model)) {
        const at::Tensor all = gradients[parameter.name].grad().to_dense().reshape({-1}),
                         mine = parameter.tensor.grad().reshape({-1});
        for (const Stretch& run : sharding.slice(parameter.name).stretches(0, parameter.numel()))
          EXPECT_LT(
              largest_difference(mine.narrow(0, run.slice, run.count), all.narrow(0, run.whole, run.count)),
              1e-5)
              << family << " " << parameter.name;
      }
    });
  }
}

// Packed weights and quantized ones take the place of what multiplies.
TEST(Projections, MultiplyOtherwiseAndSumAsBefore) {
  class Doubled : public nn::Projection {
   public:
    explicit Doubled(at::Tensor weight) : weight_(std::move(weight)) {}
    std::string kind() const override { return "doubled"; }
    std::vector<nn::ProjectionParameter> parameters() const override { return {}; }
    void bind(std::vector<at::Tensor>) override {}
    at::Tensor apply(const at::Tensor& x) const override { return 2 * at::matmul(x, weight_.t()); }

   private:
    at::Tensor weight_;
  };
  comm::run_ranks(2, [](comm::GroupPtr group) {
    const at::NoGradGuard no_grad;
    const auto model = sharded_model("opt", group);
    const at::Tensor x = at::arange(64, at::kFloat).view({2, 32}).div_(64);
    for (const auto& [name, block] : nn::blocks_of(*model)) {
      if (name != "layers.0.mlp.down") continue;
      auto& linear = dynamic_cast<nn::Linear&>(*block);
      const auto& dense = dynamic_cast<const nn::DenseProjection&>(multiplication_of(linear));
      const at::Tensor in = x.narrow(1, 0, dense.weight().size(1)), before = linear.forward(in),
                       bias = model->named_parameters()[name + ".bias"].clone();
      replace_multiplication(linear, std::make_unique<Doubled>(dense.weight().detach()));
      EXPECT_EQ(linear.projection().kind(), "row-parallel doubled");
      EXPECT_LT(largest_difference(linear.forward(in), 2 * (before - bias) + bias), 1e-5);
    }
  });
}

TEST(Training, OfMixturesIsRefused) {
  const at::Tensor ids = tensor_of(golden("mixtral"), "input_ids");
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const auto model = sharded_model("mixtral", group, {.training = true});
    EXPECT_THROW(model->forward(ids, ids), base::Error);
  });
}

TEST(Training, IsRefusedOfModelsThatWereNotShardedForIt) {
  const at::Tensor ids = tensor_of(golden("llama"), "input_ids");
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const auto model = sharded_model("llama", group);
    EXPECT_THROW(model->forward(ids, ids), base::Error);
    const at::NoGradGuard no_grad;
    EXPECT_NO_THROW(model->forward(ids, ids));
    for (const auto& [name, block] : nn::blocks_of(*model))
      if (name.ends_with("attention.query")) {
        const auto kind = dynamic_cast<nn::Linear&>(*block).projection().kind();
        EXPECT_EQ(kind, "dense") << "it can be packed and fused";
      }
  });
}

}  // namespace
}  // namespace deepspeed::tensor_parallel
