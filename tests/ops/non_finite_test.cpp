// NaN and infinity pass through every fused op, forward and backward, as through ATen's compositions:
// training sees an overflow by what is not finite.
#include <gmock/gmock.h>

#include <functional>
#include <limits>

#include "deepspeed/ops/activation.h"
#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/dropout.h"
#include "deepspeed/ops/embedding.h"
#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/linear.h"
#include "deepspeed/ops/rms_norm.h"
#include "deepspeed/ops/rotary.h"
#include "deepspeed/ops/swiglu.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;

using Tensors = std::vector<at::Tensor>;
using Function = std::function<at::Tensor(const Tensors&)>;

struct Case {
  std::string name;
  std::vector<std::vector<int64_t>> shapes;  // of the inputs
  Function ours, composition;
  bool by_heads = false;  // what is not finite may spread within its head, [B, H, ...]
};

const accel::RngKey kKey{};

at::Tensor rotate_half(const at::Tensor& x, const RotaryTable& table) {
  const at::Tensor cos = at::cat({table.cos, table.cos}, -1), sin = at::cat({table.sin, table.sin}, -1);
  const auto halves = x.chunk(2, -1);
  return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
}

std::vector<Case> cases() {
  const auto table = rotary_table(8, 3, 0);
  const at::Tensor ids = at::tensor({1, 0, 2, 1}, at::kLong);
  return {
      {"layer_norm",
       {{4, 24}, {24}, {24}},
       [](const Tensors& t) { return layer_norm(t[0], t[1], t[2], 1e-5); },
       [](const Tensors& t) { return at::layer_norm(t[0], {24}, t[1], t[2], 1e-5); }},
      {"rms_norm",
       {{4, 24}, {24}},
       [](const Tensors& t) { return rms_norm(t[0], t[1], 1e-6); },
       [](const Tensors& t) { return t[1] * (t[0] * at::rsqrt(t[0].pow(2).mean(-1, true) + 1e-6)); }},
      {"rms_norm_from_one",
       {{4, 24}, {24}},
       [](const Tensors& t) { return rms_norm(t[0], t[1], 1e-6, RmsWeight::kFromOne); },
       [](const Tensors& t) { return (t[1] + 1) * (t[0] * at::rsqrt(t[0].pow(2).mean(-1, true) + 1e-6)); }},
      {"gelu_tanh",
       {{3, 20}},
       [](const Tensors& t) { return gelu(t[0], GeluKind::kTanh); },
       [](const Tensors& t) { return at::gelu(t[0], "tanh"); }},
      {"gelu_erf",
       {{3, 20}},
       [](const Tensors& t) { return gelu(t[0], GeluKind::kErf); },
       [](const Tensors& t) { return at::gelu(t[0]); }},
      {"swiglu",
       {{3, 20}, {3, 20}},
       [](const Tensors& t) { return swiglu(t[0], t[1]); },
       [](const Tensors& t) { return at::silu(t[0]) * t[1]; }},
      {"geglu",
       {{3, 20}, {3, 20}},
       [](const Tensors& t) { return geglu(t[0], t[1]); },
       [](const Tensors& t) { return at::gelu(t[0], "tanh") * t[1]; }},
      {"dropout_add",
       {{3, 20}, {3, 20}},
       [](const Tensors& t) { return dropout_add(t[0], t[1], 0, kKey); },
       [](const Tensors& t) { return t[0] + t[1]; }},
      {"rotary",
       {{1, 2, 3, 8}},
       [table](const Tensors& t) { return rotary(t[0], table); },
       [table](const Tensors& t) { return rotate_half(t[0], table); }},
      {"embedding",
       {{3, 20}},
       [ids](const Tensors& t) { return ops::embedding(t[0], ids); },
       [ids](const Tensors& t) { return at::embedding(t[0], ids); }},
      {"embedding_rows",
       {{3, 20}},
       [ids](const Tensors& t) { return ops::embedding(t[0], ids, -1, TableGradient::kRows); },
       [ids](const Tensors& t) { return at::embedding(t[0], ids); }},
      {"linear",
       {{3, 20}, {7, 20}, {7}},
       [](const Tensors& t) { return linear(t[0], t[1], t[2], WeightOrder::kOutIn); },
       [](const Tensors& t) { return at::addmm(t[2], t[0], t[1].t()); }},
      {"attention",
       {{1, 2, 5, 8}, {1, 2, 5, 8}, {1, 2, 5, 8}},
       [](const Tensors& t) { return attention(t[0], t[1], t[2]); },
       [](const Tensors& t) {
         const at::Tensor hidden = at::ones({5, 5}, at::kBool).triu(1);
         const at::Tensor scores = at::matmul(t[0], t[1].transpose(-1, -2)) / std::sqrt(8.0);
         return at::matmul(at::softmax(scores.masked_fill(hidden, -INFINITY), -1), t[2]);
       },
       /*by_heads=*/true},
  };
}

// The op's result and its gradients.
Tensors run(const Function& op, const Tensors& inputs, const at::Tensor& dy) {
  Tensors leaves;
  for (const auto& t : inputs) leaves.push_back(leaf(t));
  const at::Tensor y = op(leaves);
  Tensors all = gradients(y, leaves, dy);
  all.insert(all.begin(), y.detach());
  for (auto& t : all)
    if (t.is_sparse()) t = t.to_dense();
  return all;
}

// What the composition has finite is finite and equal, at least in the other head, and what it has not is not
// lost altogether.
void expect_alike(const Tensors& ours, const Tensors& theirs, bool by_heads) {
  ASSERT_EQ(ours.size(), theirs.size());
  bool lost = true, any = false;
  for (size_t i = 0; i < ours.size(); ++i) {
    const auto part = [&](const at::Tensor& t) { return by_heads ? t.select(1, 1) : t; };
    const at::Tensor a = part(ours[i]), b = part(theirs[i]), finite = b.isfinite();
    EXPECT_TRUE(at::allclose(a.masked_select(finite), b.masked_select(finite), 1e-4, 1e-5))
        << (i == 0 ? "result" : "gradient " + std::to_string(i - 1));
    any = any || !theirs[i].isfinite().all().item<bool>();
    lost = lost && ours[i].isfinite().all().item<bool>();
  }
  EXPECT_FALSE(any && lost) << "nothing is left of it";
}

TEST(NonFinite, ValuesOfEveryInputShowInResultOrGradients) {
  for (const Case& c : cases())
    for (const double value : {NAN, INFINITY, -INFINITY})
      for (size_t which = 0; which < c.shapes.size(); ++which) {
        SCOPED_TRACE(fmt::format("{}, input {} holds {}", c.name, which, value));
        Tensors inputs;
        for (size_t i = 0; i < c.shapes.size(); ++i)
          inputs.push_back(values(c.shapes[i], at::kFloat, 1, i + 1));
        const at::Tensor dy = values(c.ours(inputs).sizes(), at::kFloat, 1, 9);
        inputs[which].view({-1})[3] = value;
        expect_alike(run(c.ours, inputs, dy), run(c.composition, inputs, dy), c.by_heads);
      }
}

TEST(NonFinite, IncomingGradientsShowInTheGradientsOfTheirRows) {
  for (const Case& c : cases())
    for (const double value : {NAN, INFINITY, -INFINITY}) {
      SCOPED_TRACE(fmt::format("{}, gradient holds {}", c.name, value));
      Tensors inputs;
      for (size_t i = 0; i < c.shapes.size(); ++i)
        inputs.push_back(values(c.shapes[i], at::kFloat, 1, i + 1));
      at::Tensor dy = values(c.ours(inputs).sizes(), at::kFloat, 1, 9);
      dy.view({-1})[5] = value;
      expect_alike(run(c.ours, inputs, dy), run(c.composition, inputs, dy), c.by_heads);
    }
}

}  // namespace
}  // namespace deepspeed::ops
