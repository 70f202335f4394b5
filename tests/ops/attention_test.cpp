#include "deepspeed/ops/attention.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <tuple>

#include "deepspeed/accel/memory.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/reference/attention.h"

namespace deepspeed::ops {
namespace {

struct Case {
  std::string name;
  int64_t batch, heads, kv_heads, queries, keys, dim;
  AttentionOptions options;
};

AttentionOptions with(bool causal, int64_t window = 0, double p = 0, std::optional<double> scale = {}) {
  return {causal, scale, p, {0x123456789abcdefull, 77}, window, {}, {}, {}, 0};
}

/// Rows of packed documents: the first key of every query, each batch row cut into documents of its own.
at::Tensor documents(int64_t batch, int64_t length, const std::vector<int64_t>& lengths) {
  at::Tensor first = at::empty({batch, length}, at::kInt);
  auto key = first.accessor<int32_t, 2>();
  for (int64_t b = 0; b < batch; ++b) {
    size_t next = static_cast<size_t>(b);
    for (int64_t t = 0, end = 0, start = 0; t < length; ++t) {
      if (t == end) start = t, end += lengths[next++ % lengths.size()];
      key[b][t] = static_cast<int32_t>(start);
    }
  }
  return first;
}

AttentionOptions packed(int64_t batch, int64_t length, const std::vector<int64_t>& lengths,
                        int64_t window = 0, double p = 0) {
  AttentionOptions options = with(true, window, p);
  options.first_key = documents(batch, length, lengths);
  return options;
}

/// Rows that end in padding.
AttentionOptions padded(const std::vector<int32_t>& ends, bool causal, double p = 0) {
  AttentionOptions options = with(causal, 0, p);
  options.end_key = at::tensor(ends, at::kInt);
  return options;
}

/// As a BLOOM of twelve heads, of which these are the first.
AttentionOptions alibi(int64_t heads, bool causal, int64_t window = 0, double p = 0) {
  AttentionOptions options = with(causal, window, p);
  options.alibi_slopes = alibi_slopes(12).narrow(0, 0, heads);
  return options;
}

/// As Gemma 2: a scale of its own, and a cap small enough that it bends most scores.
AttentionOptions capped(double cap, bool causal, int64_t window = 0, double p = 0) {
  AttentionOptions options = with(causal, window, p, 0.3);
  options.softcap = cap;
  return options;
}

/// Deterministic normal numbers; the values of a parameter of that name.
at::Tensor values(at::IntArrayRef shape, uint64_t stream) {
  at::Tensor t = at::empty(shape, at::kFloat);
  float* p = t.data_ptr<float>();
  for (int64_t i = 0; i < t.numel(); ++i) p[i] = accel::normal({5, stream}, static_cast<uint64_t>(i));
  return t;
}

AttentionOptions biased(at::IntArrayRef shape, AttentionOptions options) {
  options.bias = values(shape, 6);
  return options;
}

struct Results {
  at::Tensor out, q, k, v;
};

using Function = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                const AttentionOptions&);

Results forward_and_backward(Function f, const Case& c, at::ScalarType dtype) {
  const auto make = [&](int64_t heads, int64_t length, uint64_t stream) {
    // The memory order of a projection, so that no operand is contiguous.
    at::Tensor t = values({c.batch, length, heads, c.dim}, stream).to(at::kBFloat16).to(dtype);
    return t.transpose(1, 2).detach().requires_grad_();
  };
  const at::Tensor q = make(c.heads, c.queries, 1), k = make(c.kv_heads, c.keys, 2),
                   v = make(c.kv_heads, c.keys, 3);
  const at::Tensor out = f(q, k, v, c.options);
  const at::Tensor grad = values(out.sizes(), 4).to(at::kBFloat16).to(dtype);
  const auto grads = torch::autograd::grad({out}, {q, k, v}, {grad});
  return {out, grads[0], grads[1], grads[2]};
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

class AttentionCases : public testing::TestWithParam<Case> {};

TEST_P(AttentionCases, EqualTheProductOfWholeMatricesInFloat32) {
  const Results got = forward_and_backward(attention, GetParam(), at::kFloat);
  const Results want = forward_and_backward(reference::attention, GetParam(), at::kDouble);
  EXPECT_LT(largest_difference(got.out, want.out), 1e-5);
  EXPECT_LT(largest_difference(got.q, want.q), 1e-5 * std::max(1.0, want.q.abs().max().item<double>()));
  EXPECT_LT(largest_difference(got.k, want.k), 1e-5 * std::max(1.0, want.k.abs().max().item<double>()));
  EXPECT_LT(largest_difference(got.v, want.v), 1e-5 * std::max(1.0, want.v.abs().max().item<double>()));
}

TEST_P(AttentionCases, EqualTheProductOfWholeMatricesInBfloat16) {
  const Results got = forward_and_backward(attention, GetParam(), at::kBFloat16);
  const Results want = forward_and_backward(reference::attention, GetParam(), at::kDouble);
  for (const auto& [a, b] :
       {std::pair{got.out, want.out}, {got.q, want.q}, {got.k, want.k}, {got.v, want.v}}) {
    EXPECT_EQ(a.scalar_type(), at::kBFloat16);
    // Two to the -8 is bfloat16's rounding; the gradients see the rounded output as well.
    EXPECT_LT(largest_difference(a, b), 0.012 * std::max(1.0, b.abs().max().item<double>()));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionCases,
                         testing::Values(Case{"one_query", 2, 3, 3, 1, 1, 64, with(true)},
                                         Case{"seven", 2, 2, 2, 7, 7, 8, with(true)},
                                         Case{"one_tile_and_a_bit", 1, 2, 2, 130, 130, 64, with(true)},
                                         Case{"several_blocks", 1, 2, 2, 300, 300, 20, with(true)},
                                         Case{"both_ways", 2, 2, 2, 130, 130, 80, with(false)},
                                         Case{"odd_head", 1, 2, 2, 33, 33, 13, with(true)},
                                         Case{"grouped", 2, 8, 2, 70, 70, 128, with(true)},
                                         Case{"grouped_dropout", 2, 4, 1, 70, 70, 16, with(true, 0, 0.3)},
                                         Case{"cache", 2, 4, 2, 5, 290, 64, with(true)},
                                         Case{"cache_one_query", 2, 4, 2, 1, 600, 64, with(true)},
                                         Case{"cache_three_queries", 1, 4, 4, 3, 300, 20, with(true)},
                                         Case{"cross", 2, 2, 2, 40, 301, 64, with(false)},
                                         Case{"cross_of_few_keys", 2, 4, 2, 301, 40, 64, with(false)},
                                         Case{"window", 1, 2, 2, 600, 600, 64, with(true, 50)},
                                         Case{"window_of_one", 1, 1, 1, 40, 40, 64, with(true, 1)},
                                         Case{"window_cache", 1, 2, 1, 20, 700, 64, with(true, 300)},
                                         Case{"window_thin", 1, 2, 1, 2, 700, 64, with(true, 290)},
                                         Case{"window_both_ways", 1, 2, 2, 310, 310, 64, with(false, 20)},
                                         Case{"dropout", 2, 2, 2, 130, 130, 64, with(true, 0, 0.1)},
                                         Case{"dropout_odd_keys", 1, 2, 2, 101, 523, 64, with(true, 0, 0.5)},
                                         Case{"dropout_window", 1, 2, 2, 300, 300, 64, with(true, 90, 0.2)},
                                         Case{"dropout_thin", 1, 2, 2, 2, 77, 64, with(true, 0, 0.2)},
                                         Case{"dropout_all", 1, 2, 2, 20, 20, 64, with(true, 0, 1.0)},
                                         Case{"alibi", 2, 4, 4, 330, 330, 64, alibi(4, true)},
                                         Case{"alibi_odd_head", 1, 3, 3, 37, 37, 13, alibi(3, true)},
                                         Case{"alibi_grouped_cache", 2, 4, 2, 9, 530, 64, alibi(4, true)},
                                         Case{"alibi_one_query", 2, 4, 4, 1, 600, 64, alibi(4, true)},
                                         Case{"alibi_window", 1, 2, 2, 310, 310, 64, alibi(2, true, 40)},
                                         Case{"alibi_both_ways", 1, 2, 2, 130, 130, 64, alibi(2, false)},
                                         Case{"alibi_dropout", 1, 2, 2, 70, 70, 16, alibi(2, true, 0, 0.2)},
                                         Case{"scale", 1, 2, 2, 50, 50, 64, with(true, 0, 0, 0.3)},
                                         Case{"negative_scale", 1, 2, 2, 50, 50, 64, with(true, 0, 0, -0.1)}),
                         [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Packed, AttentionCases,
    testing::Values(Case{"several", 3, 1, 1, 150, 150, 64, packed(3, 150, {7, 40, 1, 60})},
                    Case{"blocks", 1, 2, 1, 600, 600, 20, packed(1, 600, {290, 130, 3})},
                    Case{"singles", 1, 1, 1, 130, 130, 16, packed(1, 130, {1})},
                    Case{"thin", 2, 2, 2, 4, 4, 64, packed(2, 4, {3, 1})},
                    Case{"window", 2, 1, 1, 120, 120, 64, packed(2, 120, {70, 20}, 30)},
                    Case{"dropout", 2, 2, 1, 120, 120, 64, packed(2, 120, {33, 90}, 0, 0.2)}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Padded, AttentionCases,
    testing::Values(Case{"both_ways", 3, 2, 2, 130, 130, 64, padded({130, 1, 77}, false)},
                    Case{"blocks", 2, 2, 1, 600, 600, 20, padded({256, 301}, false)},
                    Case{"short", 4, 2, 2, 7, 7, 8, padded({1, 3, 7, 5}, false)},
                    Case{"thin", 2, 2, 2, 3, 40, 64, padded({9, 33}, false)},
                    Case{"causal", 2, 2, 2, 130, 130, 64, padded({99, 20}, true)},
                    Case{"dropout", 2, 2, 2, 120, 120, 64, padded({120, 50}, false, 0.2)}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(Capped, AttentionCases,
                         testing::Values(Case{"blocks", 1, 2, 2, 330, 330, 64, capped(1.5, true)},
                                         Case{"odd_head", 1, 3, 3, 37, 37, 13, capped(0.7, true)},
                                         Case{"loose", 1, 2, 2, 130, 130, 64, capped(50, true)},
                                         Case{"grouped_cache", 2, 4, 2, 9, 530, 64, capped(2, true)},
                                         Case{"one_query", 2, 4, 4, 1, 600, 64, capped(2, true)},
                                         Case{"window", 1, 2, 1, 310, 310, 64, capped(1, true, 40)},
                                         Case{"both_ways", 1, 2, 2, 130, 130, 64, capped(1, false)},
                                         Case{"dropout", 1, 2, 2, 70, 70, 16, capped(1, true, 0, 0.2)}),
                         [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Biased, AttentionCases,
    testing::Values(Case{"causal", 2, 4, 2, 70, 70, 16, biased({1, 4, 70, 70}, with(true))},
                    Case{"of_each_row", 2, 2, 2, 33, 33, 13, biased({2, 2, 33, 33}, with(false))},
                    Case{"cache", 2, 2, 2, 3, 40, 64, biased({1, 2, 3, 40}, with(true))},
                    Case{"padded", 2, 2, 2, 40, 40, 16, biased({1, 2, 40, 40}, padded({9, 40}, false))},
                    Case{"alibi", 1, 2, 2, 40, 40, 16, biased({1, 2, 40, 40}, alibi(2, true))},
                    Case{"scale", 1, 2, 2, 40, 40, 16, biased({1, 2, 40, 40}, with(true, 0, 0, 1.0))},
                    Case{"dropout", 2, 2, 2, 37, 37, 16, biased({1, 2, 37, 37}, with(false, 0, 0.2))}),
    [](const auto& info) { return info.param.name; });

TEST(Attention, BiasesOfScoresGetTheirGradient) {
  for (const bool each_row : {false, true}) {
    const auto gradient = [&](Function f, at::ScalarType dtype) {
      const at::Tensor q = values({2, 3, 20, 8}, 1).to(dtype);
      AttentionOptions options = padded({20, 7}, false, 0.1);
      options.bias = values({each_row ? 2 : 1, 3, 20, 20}, 2).to(dtype).requires_grad_();
      const at::Tensor out = f(q, q, q, options), grad = values(out.sizes(), 3).to(dtype);
      return torch::autograd::grad({out}, {options.bias}, {grad})[0];
    };
    const at::Tensor want = gradient(reference::attention, at::kDouble);
    EXPECT_GT(want.abs().max().item<double>(), 0.1);
    EXPECT_LT(largest_difference(gradient(attention, at::kFloat), want), 1e-5);
  }
}

TEST(Attention, FusedFormKnowsSoftcaps) {
  const at::Tensor qkv = values({2, 60, 3 * 4 * 16}, 9);
  const auto part = [&](int64_t i) { return qkv.view({2, 60, 3, 4, 16}).select(2, i).transpose(1, 2); };
  const at::Tensor want = reference::attention(part(0), part(1), part(2), capped(1.2, true));
  EXPECT_LT(largest_difference(attention_fused(qkv, 4, capped(1.2, true)),
                               want.transpose(1, 2).reshape({2, 60, 64})),
            1e-5);
}

TEST(Attention, CappedScoresStayWithinTheCap) {
  // The scores are 1e4 and more; capped, none outweighs another by more than e^(2 cap).
  const at::Tensor q = values({1, 1, 50, 16}, 1) * 1e3, k = values({1, 1, 50, 16}, 2) * 1e3;
  const at::Tensor v = values({1, 1, 50, 16}, 3);
  const at::Tensor want =
      reference::attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), capped(3, true));
  EXPECT_LT(largest_difference(attention(q, k, v, capped(3, true)), want), 1e-5);
  at::Tensor bad = k.clone();
  bad[0][0][25][0] = NAN;
  const at::Tensor nan = attention(q, bad, v, capped(3, true)).isnan().any(-1).view(-1);
  EXPECT_EQ(nan.sum().item<int64_t>(), 25);
}

TEST(Attention, PaddedRowsAreAsThoseWithoutThePadding) {
  const at::Tensor qkv = values({2, 90, 3 * 2 * 16}, 9);
  const at::Tensor all = attention_fused(qkv, 2, padded({90, 41}, false));
  const at::Tensor alone = attention_fused(qkv.narrow(0, 1, 1).narrow(1, 0, 41), 2, with(false));
  EXPECT_LT(largest_difference(all.narrow(0, 1, 1).narrow(1, 0, 41), alone), 1e-6);
}

TEST(Attention, HiddenPaddingGetsNoGradient) {
  const at::Tensor qkv = values({1, 50, 3 * 2 * 16}, 9).requires_grad_();
  attention_fused(qkv, 2, padded({30}, false)).narrow(1, 0, 30).sum().backward();
  EXPECT_EQ(qkv.grad().narrow(1, 30, 20).abs().max().item<float>(), 0);
  EXPECT_GT(qkv.grad().narrow(1, 0, 30).abs().max().item<float>(), 0);
}

TEST(Attention, RefusesEndsThatLeaveNoKey) {
  const at::Tensor q = at::zeros({2, 2, 4, 8});
  const auto error = [&](AttentionOptions options) -> std::string {
    try {
      attention(q, q, q, options);
    } catch (const base::Error& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_EQ(error(padded({1, 4}, false)), "none");
  EXPECT_THAT(error(padded({1, 0}, false)), testing::HasSubstr("end_key[1] is 0"));
  EXPECT_THAT(error(padded({5, 4}, false)), testing::HasSubstr("end_key[0] is 5"));
  EXPECT_THAT(error(padded({4}, false)), testing::HasSubstr("int32 [2]"));
  AttentionOptions both = padded({4, 4}, true);
  both.window = 2;
  EXPECT_THAT(error(both), testing::HasSubstr("window"));
}

TEST(Attention, HalfPrecisionGoesThroughFloat32) {
  const Case c{"", 1, 2, 2, 60, 60, 64, with(true)};
  const Results got = forward_and_backward(attention, c, at::kHalf);
  const Results want = forward_and_backward(reference::attention, c, at::kDouble);
  EXPECT_EQ(got.out.scalar_type(), at::kHalf);
  EXPECT_EQ(got.k.scalar_type(), at::kHalf);
  EXPECT_LT(largest_difference(got.out, want.out), 2e-3);
  EXPECT_LT(largest_difference(got.k, want.k), 5e-3);
}

TEST(Attention, ReadsSlicesOfAFusedProjectionAndMergesHeadsWithoutACopy) {
  const at::Tensor fused = values({2, 30, 3, 4, 16}, 9);
  const auto part = [&](int64_t i) { return fused.select(2, i).transpose(1, 2); };
  const at::Tensor out = attention(part(0), part(1), part(2), with(true));
  EXPECT_TRUE(out.transpose(1, 2).is_contiguous());
  EXPECT_LT(largest_difference(out, reference::attention(part(0), part(1), part(2), with(true))), 1e-5);
}

TEST(Attention, FusedFormHasTheSameBitsAndOneGradient) {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor qkv = values({2, 100, 3 * 4 * 16}, 9).to(dtype).requires_grad_();
    const at::Tensor grad = values({2, 100, 64}, 10).to(dtype);
    const at::Tensor fused = attention_fused(qkv, 4, with(true, 0, 0.1));
    const at::Tensor fused_grad = torch::autograd::grad({fused}, {qkv}, {grad})[0];
    const auto parts = qkv.view({2, 100, 3, 4, 16}).unbind(2);
    const at::Tensor out = attention(parts[0].transpose(1, 2), parts[1].transpose(1, 2),
                                     parts[2].transpose(1, 2), with(true, 0, 0.1));
    const at::Tensor merged = out.transpose(1, 2).reshape({2, 100, 64});
    EXPECT_TRUE(fused.equal(merged));
    EXPECT_TRUE(fused_grad.equal(torch::autograd::grad({merged}, {qkv}, {grad})[0]));
  }
}

TEST(Attention, PackedDocumentsAreAsEachAlone) {
  const at::Tensor qkv = values({1, 210, 3 * 2 * 16}, 9);
  const AttentionOptions options = packed(1, 210, {96, 14, 100});
  const at::Tensor all = attention_fused(qkv, 2, options);
  for (auto [start, length] : std::vector<std::pair<int64_t, int64_t>>{{0, 96}, {96, 14}, {110, 100}})
    EXPECT_LT(largest_difference(all.narrow(1, start, length),
                                 attention_fused(qkv.narrow(1, start, length), 2, with(true))),
              1e-6);
}

TEST(Attention, RefusesFirstKeysThatFallOrHideAQueryFromItself) {
  const at::Tensor q = at::zeros({1, 2, 4, 8});
  const auto error = [&](const at::Tensor& first, bool causal = true) -> std::string {
    AttentionOptions options = with(causal);
    options.first_key = first;
    try {
      attention(q, q, q, options);
    } catch (const base::Error& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_EQ(error(at::tensor({0, 1, 1, 3}, at::kInt).unsqueeze(0)), "none");
  EXPECT_THAT(error(at::tensor({0, 1, 0, 3}, at::kInt).unsqueeze(0)),
              testing::HasSubstr("first_key[0,2] is 0"));
  EXPECT_THAT(error(at::tensor({0, 2, 2, 3}, at::kInt).unsqueeze(0)),
              testing::HasSubstr("first_key[0,1] is 2"));
  EXPECT_THAT(error(at::tensor({0, 1, 1, 3}, at::kLong).unsqueeze(0)), testing::HasSubstr("int32 [1,4]"));
  EXPECT_THAT(error(at::tensor({0, 1, 1}, at::kInt).unsqueeze(0)), testing::HasSubstr("int32 [1,4]"));
  EXPECT_THAT(error(at::tensor({0, 1, 1, 3}, at::kInt).unsqueeze(0), false), testing::HasSubstr("causal"));
}

TEST(Attention, FusedFormKnowsLinearBiases) {
  const at::Tensor qkv = values({2, 60, 3 * 4 * 16}, 9);
  const auto part = [&](int64_t i) { return qkv.view({2, 60, 3, 4, 16}).select(2, i).transpose(1, 2); };
  const at::Tensor want = reference::attention(part(0), part(1), part(2), alibi(4, true));
  EXPECT_LT(
      largest_difference(attention_fused(qkv, 4, alibi(4, true)), want.transpose(1, 2).reshape({2, 60, 64})),
      1e-5);
}

TEST(Attention, SlopesAreBlooms) {
  EXPECT_TRUE(alibi_slopes(8).equal(at::pow(0.5, at::arange(1, 9, at::kFloat))));
  // transformers' _get_alibi_slopes(6)
  EXPECT_TRUE(alibi_slopes(6).equal(at::tensor({0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f, 0.125f})));
  EXPECT_EQ(alibi_slopes(1).item<float>(), 0.00390625f);
}

TEST(Attention, FractionOfDroppedProbabilitiesIsThatAskedFor) {
  // Equal scores and values of one: a row's result is its kept fraction divided by 1 - p.
  const at::Tensor zero = at::zeros({2, 4, 200, 16}), one = at::ones({2, 4, 200, 16});
  const at::Tensor out = attention(zero, zero, one, with(false, 0, 0.25));
  EXPECT_NEAR(out.mean().item<double>(), 1.0, 0.01);
  EXPECT_GT(out.std().item<double>(), 0.01);
}

TEST(Attention, SameKeySameMaskAndAnotherKeyAnotherMask) {
  const at::Tensor q = values({1, 2, 40, 16}, 1);
  AttentionOptions a = with(true, 0, 0.5), b = a;
  b.rng.stream += 1;
  EXPECT_TRUE(attention(q, q, q, a).equal(attention(q, q, q, a)));
  EXPECT_FALSE(attention(q, q, q, a).equal(attention(q, q, q, b)));
}

TEST(Attention, NanInAQueryReachesThatQueryOnlyAndInAKeyAllWhoSeeIt) {
  const at::Tensor k = values({1, 1, 40, 16}, 2), v = values({1, 1, 40, 16}, 3);
  at::Tensor q = values({1, 1, 40, 16}, 1);
  q[0][0][7][3] = NAN;
  at::Tensor bad = attention(q, k, v, with(true)).isnan().any(-1).view(-1);
  EXPECT_EQ(bad.sum().item<int64_t>(), 1);
  EXPECT_TRUE(bad[7].item<bool>());
  at::Tensor key = k.clone();
  key[0][0][25][0] = NAN;
  bad = attention(values({1, 1, 40, 16}, 1), key, v, with(true)).isnan().any(-1).view(-1);
  EXPECT_EQ(bad.sum().item<int64_t>(), 15);
  EXPECT_FALSE(bad[24].item<bool>());
  EXPECT_TRUE(bad[25].item<bool>());
}

TEST(Attention, InfiniteScoresActAsInSoftmax) {
  at::Tensor q = values({1, 1, 20, 16}, 1), k = values({1, 1, 20, 16}, 2);
  const at::Tensor v = values({1, 1, 20, 16}, 3);
  q.abs_();
  k[0][0][5].fill_(-INFINITY);  // never attended to, but by query 5 among others
  EXPECT_LT(largest_difference(attention(q, k, v, with(true)), reference::attention(q, k, v, with(true))),
            1e-5);
  k[0][0][5].fill_(INFINITY);
  const at::Tensor got = attention(q, k, v, with(true)), want = reference::attention(q, k, v, with(true));
  EXPECT_TRUE(got.isnan().equal(want.isnan()));
  EXPECT_TRUE(got.isnan().any().item<bool>());
}

TEST(Attention, LargeScoresDoNotOverflow) {
  const at::Tensor q = values({1, 1, 50, 16}, 1) * 100, k = values({1, 1, 50, 16}, 2) * 100;
  const at::Tensor v = values({1, 1, 50, 16}, 3);
  const at::Tensor want =
      reference::attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), with(true));
  // A score of 1e5 is itself rounded to 4e-3 in float32.
  EXPECT_LT(largest_difference(attention(q, k, v, with(true)), want), 3e-2);
}

TEST(Attention, EmptyBatchGivesEmptyResult) {
  const at::Tensor q = at::zeros({0, 2, 5, 8});
  EXPECT_EQ(attention(q, q, q).sizes(), (at::IntArrayRef{0, 2, 5, 8}));
}

TEST(Attention, RefusesWhatDoesNotFitInOneLine) {
  const at::Tensor q = at::zeros({1, 4, 5, 8}), k = at::zeros({1, 3, 5, 8}), few = at::zeros({1, 4, 4, 8});
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { attention(q, k, k); }, [&] { attention(q, few, few); }, [&] { attention(q[0], q[0], q[0]); },
           [&] { attention(q, q, q.to(at::kBFloat16)); },
           [&] { attention(q.to(at::kDouble), q.to(at::kDouble), q.to(at::kDouble)); },
           [&] { attention(q, q, q, with(true, 0, 1.5)); }, [&] { attention(q, q, q, alibi(3, true)); },
           [&] { attention(q, q, q, with(true, -1)); }, [&] { attention(q, q, q, capped(-1, true)); },
           [&] {
             AttentionOptions both = alibi(4, true);
             both.softcap = 2;
             attention(q, q, q, both);
           },
           [&] {
             attention(q, q, q, biased({1, 4, 5, 4}, with(true)));
           },
           [&] {
             attention(q, q, q, biased({3, 4, 5, 5}, with(true)));
           },
           [&] {
             attention(q, q, q, biased({1, 4, 5, 5}, capped(2, true)));
           },
           [&] {
             attention_fused(at::zeros({1, 4, 96}), 4, biased({1, 4, 4, 4}, with(true)));
           },
           [&] {
             attention_fused(at::zeros({1, 4, 50}), 4);
           }}) {
    EXPECT_THROW(
        try { call(); } catch (const base::Error& e) {
          EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
          throw;
        },
        base::Error);
  }
}

TEST(Attention, SecondDerivativeIsRefused) {
  const at::Tensor q = values({1, 1, 8, 8}, 1).requires_grad_();
  const at::Tensor out = attention(q, q, q);
  EXPECT_THROW(torch::autograd::grad({out.sum()}, {q}, {}, true, true), base::Error);
}

TEST(Attention, PeakMemoryAtLength8192IsFarBelowOneMatrixOfScores) {
  const int64_t length = 8192;
  const at::Tensor qkv = at::ones({1, length, 3 * 2 * 64}).normal_().requires_grad_();
  const int64_t before = accel::resident_bytes();
  attention_fused(qkv, 2, with(true, 0, 0.1)).sum().backward();
  const int64_t growth = accel::peak_resident_bytes() - before, matrix = length * length * 4;
  RecordProperty("growth_mib", std::to_string(growth >> 20));
  std::printf(
      "peak resident growth of forward + backward at T = 8192, 2 heads: %.1f MiB; one T x T matrix: %.1f "
      "MiB\n",
      static_cast<double>(growth) / (1 << 20), static_cast<double>(matrix) / (1 << 20));
  EXPECT_TRUE(qkv.grad().isfinite().all().item<bool>());
  EXPECT_LT(growth, matrix / 4);
}

}  // namespace
}  // namespace deepspeed::ops
