#include "deepspeed/ops/norm.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/reference/norm.h"
#include "deepspeed/ops/rms_norm.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;

const std::vector<at::ScalarType> kTypes = {at::kFloat, at::kBFloat16, at::kHalf};

TEST(NormKernels, AgreeWithTheReferenceForEveryInstructionSetTypeAndWidth) {
  for (base::Isa isa : runnable_isas())
    for (at::ScalarType type : kTypes)
      for (int64_t cols : {1, 3, 16, 17, 768}) {
        SCOPED_TRACE(fmt::format("{} {} C={}", base::isa_name(isa), c10::toString(type), cols));
        const at::Tensor x = leaf(values({5, cols}, type)), dy = values({5, cols}, type, 1, 2);
        const at::Tensor weight = leaf(values({cols}, at::kFloat, 1, 3)),
                         bias = leaf(values({cols}, at::kFloat, 1, 4));
        const auto& kernels = norm_kernels(isa);
        const at::Tensor mean = at::empty({5}), rstd = at::empty({5});
        const NormInputs in = norm_inputs("test", x.detach(), weight.detach(), bias.detach(), 1e-5);

        const at::Tensor expected = reference::layer_norm(x, weight, bias, 1e-5);
        EXPECT_LT(error(norm_forward(kernels.layer_norm, in, mean, rstd), expected), tolerance(type));
        const auto want = gradients(expected, {x, weight, bias}, dy.to(at::kDouble));
        const auto got =
            norm_backward(kernels.layer_norm_backward, {in.x, in.weight, mean, rstd}, dy, {true, true, true});
        EXPECT_LT(error(got.x, want[0]), 4 * tolerance(type));
        EXPECT_LT(error(got.weight, want[1]), 1e-5);
        EXPECT_LT(error(got.bias, want[2]), 1e-5);

        const at::Tensor rms = reference::rms_norm(x, weight, 1e-6);
        const NormInputs plain = norm_inputs("test", x.detach(), weight.detach(), {}, 1e-6);
        EXPECT_LT(error(norm_forward(kernels.rms_norm, plain, {}, rstd), rms), tolerance(type));
        const auto want_rms = gradients(rms, {x, weight}, dy.to(at::kDouble));
        const auto got_rms =
            norm_backward(kernels.rms_norm_backward, {in.x, in.weight, {}, rstd}, dy, {true, true, false});
        EXPECT_LT(error(got_rms.x, want_rms[0]), 4 * tolerance(type));
        EXPECT_LT(error(got_rms.weight, want_rms[1]), 1e-5);
        EXPECT_FALSE(got_rms.bias.defined());

        const at::Tensor wide = reference::rms_norm(x, weight, 1e-6, RmsWeight::kFromOne);
        NormInputs from_one = plain;
        from_one.weight = plain.weight + 1;
        EXPECT_LT(error(norm_forward(kernels.rms_norm_wide, from_one, {}, rstd), wide), tolerance(type));
        const auto want_wide = gradients(wide, {x, weight}, dy.to(at::kDouble));
        const auto got_wide = norm_backward(kernels.rms_norm_wide_backward, {in.x, from_one.weight, {}, rstd},
                                            dy, {true, true, false});
        EXPECT_LT(error(got_wide.x, want_wide[0]), 4 * tolerance(type));
        EXPECT_LT(error(got_wide.weight, want_wide[1]), 1e-5);
      }
}

TEST(LayerNorm, DifferentiatesLikeTheReferenceForAnyShapeAndStrides) {
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{4, 6, 33}, {33}, {0, 33}, {700, 33}}) {
    const at::Tensor x = leaf(values(shape)), weight = leaf(values({33}, at::kBFloat16, 1, 2)),
                     bias = leaf(values({33}, at::kFloat, 1, 3));
    const at::Tensor y = layer_norm(x, weight, bias, 1e-5),
                     expected = reference::layer_norm(x, weight, bias, 1e-5);
    EXPECT_EQ(y.sizes(), x.sizes());
    EXPECT_LT(error(y, expected), 3e-6);
    const at::Tensor dy = values(shape, at::kFloat, 1, 4);
    const auto got = gradients(y, {x, weight, bias}, dy),
               want = gradients(expected, {x, weight, bias}, dy.to(at::kDouble));
    EXPECT_LT(error(got[0], want[0]), 1e-5);
    EXPECT_EQ(got[1].scalar_type(), at::kBFloat16);
    EXPECT_LT(error(got[1], want[1]), 4.1e-3);
    EXPECT_LT(error(got[2], want[2]), 1e-5);
  }
  const at::Tensor strided = values({17, 9}).t(), weight = values({17}, at::kFloat, 1, 2);
  EXPECT_LT(error(layer_norm(strided, weight, {}, 1e-5), reference::layer_norm(strided, weight, {}, 1e-5)),
            3e-6);
}

TEST(RmsNorm, DifferentiatesLikeTheReferenceForStridedInput) {
  const at::Tensor base = leaf(values({40, 21})), weight = leaf(values({40}, at::kFloat, 1, 2));
  const at::Tensor y = rms_norm(base.t(), weight, 1e-6),
                   expected = reference::rms_norm(base.t(), weight, 1e-6);
  EXPECT_LT(error(y, expected), 3e-6);
  const at::Tensor dy = values({40, 21}, at::kFloat, 1, 3).t();
  const auto got = gradients(y, {base, weight}, dy),
             want = gradients(expected, {base, weight}, dy.to(at::kDouble));
  EXPECT_LT(error(got[0], want[0]), 1e-5);
  EXPECT_LT(error(got[1], want[1]), 1e-5);
}

TEST(RmsNorm, CountsItsWeightFromOneWithoutRoundingIt) {
  // In bf16 1 + 2^-9 is 1.
  const at::Tensor x = leaf(values({9, 24}, at::kBFloat16)),
                   weight = leaf(at::full({24}, 0.001953125).to(at::kBFloat16));
  const at::Tensor y = rms_norm(x, weight, 1e-6, RmsWeight::kFromOne),
                   expected = reference::rms_norm(x, weight, 1e-6, RmsWeight::kFromOne);
  EXPECT_TRUE(y.equal(expected.to(at::kBFloat16)));
  const at::Tensor dy = values({9, 24}, at::kBFloat16, 1, 3);
  const auto got = gradients(y, {x, weight}, dy), want = gradients(expected, {x, weight}, dy.to(at::kDouble));
  EXPECT_LT(error(got[0], want[0]), 8e-3);
  EXPECT_LT(error(got[1], want[1]), 8e-3);
}

TEST(LayerNorm, ComputesOnlyTheGradientsThatAreWanted) {
  const at::Tensor x = values({3, 8}), weight = leaf(at::ones({8}));
  const at::Tensor y = layer_norm(x, weight, at::zeros({8}), 1e-5);
  y.sum().backward();
  EXPECT_TRUE(weight.grad().defined());
  EXPECT_FALSE(x.grad().defined());
  EXPECT_FALSE(layer_norm(x, at::ones({8}), {}, 1e-5).requires_grad());
  const at::NoGradGuard no_grad;
  EXPECT_EQ(layer_norm(x, weight, {}, 1e-5).grad_fn(), nullptr);
}

TEST(LayerNorm, GradientsOfWeightDoNotDependOnTheNumberOfThreads) {
  const at::Tensor x = values({999, 64}), dy = values({999, 64}, at::kFloat, 1, 2),
                   weight = leaf(at::ones({64}));
  const int before = at::get_num_threads();
  std::vector<at::Tensor> got;
  for (int threads : {1, 2, 5}) {
    at::set_num_threads(threads);
    got.push_back(gradients(layer_norm(x, weight, {}, 1e-5), {weight}, dy)[0]);
  }
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(got[0], got[1]));
  EXPECT_TRUE(at::equal(got[0], got[2]));
}

TEST(LayerNorm, KeepsNanAndInfinityInTheirRow) {
  at::Tensor x = values({3, 20});
  x[0][3] = NAN;
  x[1][19] = INFINITY;
  const at::Tensor y = layer_norm(x, at::ones({20}), at::zeros({20}), 1e-5);
  EXPECT_TRUE(y[0].isnan().all().item<bool>());
  EXPECT_TRUE(y[1][19].isnan().item<bool>());
  EXPECT_TRUE(y[2].isfinite().all().item<bool>());
  EXPECT_TRUE(rms_norm(x, at::ones({20}), 1e-5)[2].isfinite().all().item<bool>());
}

TEST(LayerNorm, RefusesWrongShapesTypesAndSecondDerivatives) {
  const at::Tensor x = leaf(values({3, 8}));
  EXPECT_THAT([&] { layer_norm(x, at::ones({7}), {}, 1e-5); },
              testing::ThrowsMessage<base::Error>("layer_norm: weight must have shape [8], it has [7]"));
  EXPECT_THAT([&] { rms_norm(x.to(at::kDouble), at::ones({8}), 1e-5); },
              testing::ThrowsMessage<base::Error>(
                  "rms_norm: x is of type Double; convert it to float, bfloat16 or half"));
  const at::Tensor y = layer_norm(x, at::ones({8}), {}, 1e-5);
  EXPECT_THAT([&] { torch::autograd::grad({y}, {x}, {at::ones_like(y)}, true, true); },
              testing::ThrowsMessage<base::Error>(testing::HasSubstr("has no second derivative")));
}

}  // namespace
}  // namespace deepspeed::ops
