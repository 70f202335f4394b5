// The plan is arithmetic: no model is computed and no weights exist here.
#include "deepspeed/tensor_parallel/plan.h"

#include <gmock/gmock.h>

#include <cstring>
#include <set>

#include "deepspeed/base/error.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder_decoder.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/nn/materializer.h"
#include "tests/tensor_parallel/families.h"

namespace deepspeed::tensor_parallel {
namespace {

using models::ArchSpec;
using testing::ElementsAre;
using testing::ElementsAreArray;

std::vector<int64_t> counts(const std::vector<Range>& ranges) {
  std::vector<int64_t> sizes;
  for (const Range& range : ranges) sizes.push_back(range.count);
  return sizes;
}

ArchSpec sized(int64_t heads, int64_t kv_heads, int64_t intermediate = 4096) {
  ArchSpec spec = models::parse_arch_spec({{"model_type", "llama"}}, "config.json");
  spec.heads = heads, spec.kv_heads = kv_heads, spec.intermediate = intermediate;
  return spec;
}

// From DeepSpeed 0.19.8: get_shard_size_list(size, ranks, AutoTPMeta(tp_grain_size=64), "mlp.x").
TEST(Grain, IsDeepSpeedsWhereEveryRankGetsOne) {
  EXPECT_THAT(counts(split_by_grain(11008, 2, 64)), ElementsAre(5504, 5504));
  EXPECT_THAT(counts(split_by_grain(11008, 3, 64)), ElementsAre(3712, 3648, 3648));
  EXPECT_THAT(counts(split_by_grain(1000, 2, 64)), ElementsAre(512, 488));
  EXPECT_THAT(counts(split_by_grain(1000, 3, 64)), ElementsAre(320, 320, 360));
  EXPECT_THAT(counts(split_by_grain(257, 4, 64)), ElementsAre(64, 64, 64, 65));
  EXPECT_THAT(counts(split_by_grain(50257, 8, 64)),
              ElementsAre(6336, 6272, 6272, 6272, 6272, 6272, 6272, 6289));
  EXPECT_THAT(counts(split_by_grain(40, 3, 64)), ElementsAre(14, 13, 13));
  EXPECT_THAT(counts(split_by_grain(37, 4, 64)), ElementsAre(10, 9, 9, 9));
  EXPECT_THAT(counts(split_by_grain(3072, 5, 64)), ElementsAre(640, 640, 640, 576, 576));
}

// There it would be 64, 0, 32 and 64, 3.
TEST(Grain, IsHalvedUntilNoRankIsLeftWithoutAPart) {
  EXPECT_THAT(counts(split_by_grain(96, 3, 64)), ElementsAre(32, 32, 32));
  EXPECT_THAT(counts(split_by_grain(67, 2, 64)), ElementsAre(32, 35));
}

std::vector<Range> heads_of(const Plan& plan, Range Part::*range) {
  std::vector<Range> found;
  for (int r = 0; r < plan.ranks(); ++r) found.push_back(plan.part(r).*range);
  return found;
}

// DeepSpeed's kv // N + (rank < kv % N).
TEST(Heads, GoByWholeKeyValueHeadsWithTheirQueries) {
  const Plan plan(sized(16, 8), 3);
  EXPECT_THAT(heads_of(plan, &Part::kv_heads), ElementsAre(Range{0, 3}, Range{3, 3}, Range{6, 2}));
  EXPECT_THAT(heads_of(plan, &Part::heads), ElementsAre(Range{0, 6}, Range{6, 6}, Range{12, 4}));
  EXPECT_FALSE(plan.copies_keys());
}

TEST(Heads, AreCopiedWhereThereAreFewerOfThemThanRanks) {
  const Plan even(sized(16, 2), 4);
  EXPECT_THAT(heads_of(even, &Part::kv_heads),
              ElementsAre(Range{0, 1}, Range{0, 1}, Range{1, 1}, Range{1, 1}));
  EXPECT_THAT(heads_of(even, &Part::heads), ElementsAre(Range{0, 4}, Range{4, 4}, Range{8, 4}, Range{12, 4}));
  EXPECT_TRUE(even.copies_keys());
  const Plan uneven(sized(6, 2), 3);
  EXPECT_THAT(heads_of(uneven, &Part::kv_heads), ElementsAre(Range{0, 1}, Range{0, 1}, Range{1, 1}));
  EXPECT_THAT(heads_of(uneven, &Part::heads), ElementsAre(Range{0, 2}, Range{2, 1}, Range{3, 3}));
  EXPECT_THAT(heads_of(Plan(sized(71, 1), 2), &Part::heads), ElementsAre(Range{0, 36}, Range{36, 35}));
}

TEST(Plan, RefusesWhatCannotBeCut) {
  EXPECT_THROW(Plan(sized(4, 2), 5), base::Error);
  EXPECT_THROW(Plan(sized(8, 8, 3), 4), base::Error);
  EXPECT_THROW(Plan(sized(4, 2), 0), base::Error);
  EXPECT_THROW(Plan(sized(4, 2), 2, {.grain = 0}), base::Error);
  ArchSpec biased = models::parse_arch_spec({{"model_type", "mixtral"}}, "config.json");
  biased.mlp_bias = true;
  EXPECT_THROW(Plan(biased, 2), base::Error);
}

TEST(Slices, StretchesAreTheFewestInTheOrderOfTheSlice) {
  const Slice all{{3, 4}, std::nullopt, {}};
  EXPECT_THAT(all.stretches(2, 5), ElementsAre(Stretch{2, 2, 5}));
  const Slice rows{{6, 4}, 0, {{1, 2}, {4, 1}}};
  EXPECT_EQ(rows.shape(), (std::vector<int64_t>{3, 4}));
  EXPECT_THAT(rows.stretches(0, 12), ElementsAre(Stretch{0, 4, 8}, Stretch{8, 16, 4}));
  EXPECT_THAT(rows.stretches(3, 6), ElementsAre(Stretch{3, 7, 5}, Stretch{8, 16, 1}));
  const Slice columns{{3, 6}, 1, {{0, 1}, {4, 2}}};
  EXPECT_EQ(columns.numel(), 9);
  // The end of a row and the beginning of the next lie side by side.
  EXPECT_THAT(columns.stretches(0, 9),
              ElementsAre(Stretch{0, 0, 1}, Stretch{1, 4, 3}, Stretch{4, 10, 3}, Stretch{7, 16, 2}));
  EXPECT_THAT(columns.stretches(2, 4), ElementsAre(Stretch{2, 5, 2}, Stretch{4, 10, 2}));
}

// ---- every family

const char* const kTypes[] = {"albert",    "bert",     "bloom",   "deberta-v2",  "distilbert",
                              "falcon",    "gemma",    "gemma2",  "gemma3_text", "gpt2",
                              "gpt_neo",   "gpt_neox", "gptj",    "llama",       "mistral",
                              "mixtral",   "opt",      "phi",     "phi3",        "qwen2",
                              "qwen2_moe", "qwen3",    "roberta", "t5",          "xlm-roberta"};

std::vector<nn::ParameterSpec> parameters_of(const ArchSpec& spec) {
  const auto rng = std::make_shared<accel::Rng>(1);
  if (spec.is_encoder_decoder()) {
    models::EncoderDecoder model(spec, rng);
    return nn::list_parameters(model);
  }
  if (!spec.bidirectional) {
    models::Decoder model(spec, rng);
    return nn::list_parameters(model);
  }
  models::MaskedLanguageModel model(spec, rng);
  return nn::list_parameters(model);
}

bool is_key_or_value(const std::string& name) {
  return name.find("attention.key.") != std::string::npos ||
         name.find("attention.value.") != std::string::npos;
}

// How many ranks hold each element of the parameter, by places along its cut dimension.
std::vector<int> holders(const Plan& plan, const nn::ParameterSpec& parameter, bool& is_cut) {
  is_cut = plan.slice(parameter.name, parameter.shape, 0).dim.has_value();
  std::vector<int> held;
  for (int rank = 0; rank < plan.ranks(); ++rank) {
    const Slice slice = plan.slice(parameter.name, parameter.shape, rank);
    EXPECT_EQ(slice.dim.has_value(), is_cut) << parameter.name;
    if (!slice.dim) continue;
    held.resize(static_cast<size_t>(parameter.shape[*slice.dim]));
    for (const Range& range : slice.ranges) {
      EXPECT_GT(range.count, 0) << parameter.name;
      for (int64_t i = range.begin; i < range.end(); ++i) ++held.at(static_cast<size_t>(i));
    }
  }
  return held;
}

void expect_covered(const ArchSpec& spec, int ranks) {
  SCOPED_TRACE(fmt::format("{} over {}", spec.model_type, ranks));
  const Plan plan(spec, ranks);
  const int64_t q_width = spec.heads * spec.head_dim;
  int64_t cut = 0, whole = 0;
  for (const auto& parameter : parameters_of(spec)) {
    bool is_cut = false;
    const std::vector<int> held = holders(plan, parameter, is_cut);
    (is_cut ? cut : whole) += parameter.numel();
    for (size_t i = 0; i < held.size(); ++i) {
      const bool fused_key =
          parameter.name.find("attention.qkv.") != std::string::npos && static_cast<int64_t>(i) >= q_width;
      const bool may_be_copied = plan.copies_keys() && (fused_key || is_key_or_value(parameter.name));
      if (may_be_copied ? held[i] >= 1 : held[i] == 1) continue;
      FAIL() << parameter.name << ": " << held[i] << " ranks hold place " << i;
    }
  }
  EXPECT_TRUE(ranks == 1 || cut > whole) << "most of a model is cut";
}

TEST(Families, EveryElementIsHeldOnceButForWhatIsWholeOrCopied) {
  for (const char* type : kTypes) {
    ArchSpec spec = models::parse_arch_spec({{"model_type", type}}, "config.json");
    if (spec.layer_order.empty()) spec.layers = 2;  // one with experts and one without where they differ
    if (!spec.experts.layers.empty()) spec.experts.layers[0] = false;
    for (int ranks = 1; ranks <= 8; ++ranks) expect_covered(spec, ranks);
  }
  for (const bool encoders : {false, true})
    for (const std::string& family : families(encoders)) {
      const ArchSpec spec = spec_of(family);
      for (int ranks = 1; ranks <= 8; ++ranks) {
        if (ranks <= spec.heads)
          expect_covered(spec, ranks);
        else
          EXPECT_THROW(Plan(spec, ranks), base::Error);
      }
    }
}

TEST(Families, EveryQueryFindsItsKeyValueHead) {
  for (const char* type : kTypes) {
    const ArchSpec spec = models::parse_arch_spec({{"model_type", type}}, "config.json");
    const int64_t group = spec.heads / spec.kv_heads;
    for (int ranks = 1; ranks <= 8; ++ranks) {
      const Plan plan(spec, ranks);
      for (int r = 0; r < ranks; ++r) {
        const Part& part = plan.part(r);
        ASSERT_EQ(part.heads.count % part.kv_heads.count, 0);
        // As ops::attention reads them: local query h the local key-value head h / (H / Hkv).
        for (int64_t h = 0; h < part.heads.count; ++h)
          ASSERT_EQ(part.kv_heads.begin + h / (part.heads.count / part.kv_heads.count),
                    (part.heads.begin + h) / group)
              << type << " over " << ranks;
      }
    }
  }
}

// Norms, positions, routers and the biases of what is row-parallel.
TEST(Families, WhatIsWholeIsSmall) {
  std::set<std::string> whole;
  for (const char* type : kTypes) {
    ArchSpec spec = models::parse_arch_spec({{"model_type", type}}, "config.json");
    if (spec.layer_order.empty()) spec.layers = 1;
    if (spec.is_encoder_decoder()) spec.decoder_layers = 1;
    const Plan plan(spec, 2);
    for (const auto& parameter : parameters_of(spec))
      if (!plan.slice(parameter.name, parameter.shape, 1).dim) {
        std::string name = parameter.name;
        for (const char* prefix : {"encoder.", "decoder.", "layers.0."})
          if (name.starts_with(prefix)) name = name.substr(std::strlen(prefix));
        whole.insert(name);
      }
  }
  EXPECT_THAT(whole, ElementsAreArray(std::vector<std::string>{"attention.key_norm.weight",
                                                               "attention.output.bias",
                                                               "attention.query_norm.weight",
                                                               "attention_norm.weight",
                                                               "cross_norm.weight",
                                                               "embedding_norm.bias",
                                                               "embedding_norm.weight",
                                                               "head.norm.bias",
                                                               "head.norm.weight",
                                                               "head.transform.bias",
                                                               "head.transform.weight",
                                                               "mlp.down.bias",
                                                               "mlp_norm.weight",
                                                               "moe.router.weight",
                                                               "moe.shared_gate.weight",
                                                               "norm.bias",
                                                               "norm.weight",
                                                               "norm1.bias",
                                                               "norm1.weight",
                                                               "norm2.bias",
                                                               "norm2.weight",
                                                               "positions.weight",
                                                               "token_types.weight",
                                                               "widening.bias",
                                                               "widening.weight"}));
}

TEST(Plan, LeavesTablesOfTokensWholeWhereAsked) {
  const ArchSpec spec = models::parse_arch_spec({{"model_type", "gpt2"}}, "config.json");
  const Plan plan(spec, 2, {.vocabulary = false});
  EXPECT_FALSE(plan.slice("embedding.weight", {spec.vocab, spec.hidden}, 0).dim);
  EXPECT_EQ(plan.part(1).vocabulary, (Range{0, spec.vocab}));
}

// GPT-2's matrices are [in, out], its queries, keys and values one of them.
TEST(Plan, CutsGpt2sFusedColumnsInThree) {
  const ArchSpec spec = models::parse_arch_spec({{"model_type", "gpt2"}}, "config.json");
  const Plan plan(spec, 3);
  const Slice qkv = plan.slice("layers.0.attention.qkv.weight", {768, 2304}, 1);
  EXPECT_EQ(qkv.dim, 1u);
  EXPECT_THAT(qkv.ranges, ElementsAre(Range{256, 256}, Range{1024, 256}, Range{1792, 256}));
  EXPECT_THAT(plan.slice("layers.0.attention.qkv.bias", {2304}, 1).ranges,
              ElementsAre(Range{256, 256}, Range{1024, 256}, Range{1792, 256}));
  const Slice down = plan.slice("layers.0.mlp.down.weight", {3072, 768}, 2);
  EXPECT_EQ(down.dim, 0u);
  EXPECT_THAT(down.ranges, ElementsAre(Range{2048, 1024}));
}

}  // namespace
}  // namespace deepspeed::tensor_parallel
