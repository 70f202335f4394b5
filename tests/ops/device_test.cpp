// Every op on a GPU against the same op on the CPU: values and gradients; our kernels to the bit.
#include <gtest/gtest.h>

#include "deepspeed/ops/adagrad.h"
#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/dropout.h"
#include "deepspeed/ops/embedding.h"
#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/linear.h"
#include "deepspeed/ops/linear_cross_entropy.h"
#include "deepspeed/ops/lion.h"
#include "deepspeed/ops/rms_norm.h"
#include "deepspeed/ops/rotary.h"
#include "deepspeed/ops/sum_squares.h"
#include "deepspeed/ops/swiglu.h"
#include "tests/ops/fused_support.h"
#include "tests/ops/update_support.h"
#include "tests/support/device.h"

namespace deepspeed::ops {
namespace {

using testing_support::error;
using testing_support::gradients;
using testing_support::values;

using Tensors = std::vector<at::Tensor>;

double room(at::ScalarType type) { return type == at::kFloat ? 2e-5 : 6 * testing_support::tolerance(type); }

at::Tensor leaf_on(const at::Tensor& t, at::Device device) { return t.to(device).detach().requires_grad_(); }

// compute(inputs, device) on both; what is no input it moves to the device itself.
void expect_alike(const char* what, const Tensors& inputs,
                  const std::function<at::Tensor(const Tensors&, at::Device)>& compute) {
  const at::ScalarType type = inputs[0].scalar_type();
  Tensors here, there;
  for (const at::Tensor& t : inputs)
    here.push_back(leaf_on(t.clone(), at::kCPU)), there.push_back(leaf_on(t, at::kCUDA));
  const at::Tensor y = compute(here, at::kCPU), z = compute(there, at::kCUDA);
  ASSERT_TRUE(z.is_cuda()) << what;
  EXPECT_EQ(y.scalar_type(), z.scalar_type()) << what;
  EXPECT_LT(error(z.cpu(), y), room(type)) << what << " " << c10::toString(type);
  const at::Tensor dy = values(y.sizes(), y.scalar_type(), 1, 99);
  const Tensors dx = gradients(y, here, dy), dz = gradients(z, there, dy.to(at::kCUDA));
  for (size_t i = 0; i < dx.size(); ++i)
    EXPECT_LT(error(dz[i].cpu().to_dense(), dx[i].to_dense()), room(type))
        << what << " gradient " << i << " " << c10::toString(type);
}

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kHalf};

TEST(Device, ActivationsAndNorms) {
  DS_NEEDS_GPU();
  for (const auto type : kTypes) {
    const Tensors in{values({7, 40}, type, 2), values({40}, type, 1, 2), values({40}, type, 1, 3)};
    for (const auto kind : {GeluKind::kTanh, GeluKind::kErf})
      expect_alike("gelu", {in[0]}, [&](const Tensors& t, auto) { return gelu(t[0], kind); });
    expect_alike("swiglu", {in[0], values({7, 40}, type, 1, 4)},
                 [](const Tensors& t, auto) { return swiglu(t[0], t[1]); });
    expect_alike("layer_norm", in, [](const Tensors& t, auto) { return layer_norm(t[0], t[1], t[2], 1e-5); });
    expect_alike("rms_norm", {in[0], in[1]},
                 [](const Tensors& t, auto) { return rms_norm(t[0], t[1], 1e-6); });
  }
}

TEST(Device, LinearsEmbeddingsAndLosses) {
  DS_NEEDS_GPU();
  const at::Tensor ids = at::arange(12) * 5 % 31, labels = ids.clone();
  labels[3] = -100;
  for (const auto type : kTypes) {
    const Tensors in{values({12, 16}, type), values({31, 16}, type, 0.3, 2), values({31}, type, 1, 3)};
    expect_alike("linear", in,
                 [](const Tensors& t, auto) { return linear(t[0], t[1], t[2], WeightOrder::kOutIn); });
    expect_alike("linear in x out", {in[0], in[1].t().contiguous(), in[2]},
                 [](const Tensors& t, auto) { return linear(t[0], t[1], t[2], WeightOrder::kInOut); });
    for (const auto gradient : {TableGradient::kDense, TableGradient::kRows})
      expect_alike("embedding", {in[1]}, [&](const Tensors& t, at::Device device) {
        return embedding(t[0], ids.to(device), 5, gradient);
      });
    expect_alike("linear_cross_entropy", in, [&](const Tensors& t, at::Device device) {
      return linear_cross_entropy(t[0], t[1], labels.to(device), -100, t[2]);
    });
  }
}

TEST(Device, Attention) {
  DS_NEEDS_GPU();
  for (const auto type : kTypes)
    for (int which = 0; which < 8; ++which) {
      const Tensors in{values({2, 4, 11, 8}, type), values({2, 2, 11, 8}, type, 1, 2),
                       values({2, 2, 11, 8}, type, 1, 3)};
      const auto options = [which](at::Device device) {
        AttentionOptions o;
        if (which == 1 || which == 4) o.causal = false;
        if (which == 2) o.window = 3;
        if (which == 3)
          o.first_key = (at::arange(11).div(4, "floor") * 4).to(at::kInt).repeat({2, 1}).to(device);
        if (which == 4) o.end_key = at::arange(9, 11).to(at::kInt).to(device);
        if (which == 5) o.alibi_slopes = alibi_slopes(4).to(device);
        if (which == 6) o.dropout_p = 0.3, o.rng = {7, 9};
        if (which == 7) o.softcap = 1.5;
        return o;
      };
      expect_alike("attention", in, [&](const Tensors& t, at::Device device) {
        return attention(t[0], t[1], t[2], options(device));
      });
      expect_alike(
          "attention_fused", {values({2, 11, 3 * 4 * 8}, type)},
          [&](const Tensors& t, at::Device device) { return attention_fused(t[0], 4, options(device)); });
    }
}

TEST(Device, Rotary) {
  DS_NEEDS_GPU();
  for (const auto type : kTypes)
    for (const int64_t dim : {0, 8})
      for (const bool interleaved : {false, true}) {
        const auto table = rotary_table(16, 9, 3, {.rotary_dim = dim, .interleaved = interleaved});
        const auto own = rotary_at(table, at::arange(9).flip(0).repeat({2, 1}));
        for (const RotaryTable* by : {&table, &own}) {
          expect_alike("rotary", {values({2, 3, 9, 16}, type)},
                       [&](const Tensors& t, at::Device) { return rotary(t[0], *by); });
          // Heads of a fused projection, as attention has them.
          expect_alike("rotary of heads", {values({2, 9, 5 * 16}, type)}, [&](const Tensors& t, at::Device) {
            return rotary(t[0].view({2, 9, 5, 16}).narrow(2, 1, 3).transpose(1, 2), *by);
          });
        }
      }
}

// What is computed without gradients has kernels of its own.
TEST(Device, NormsAndGatesWithoutGradients) {
  DS_NEEDS_GPU();
  const at::NoGradGuard no_grad;
  for (const auto type : kTypes)
    for (const int64_t width : {40, 1000}) {
      const at::Tensor x = values({7, width}, type, 2), y = values({7, width}, type, 1, 4);
      for (const auto weight_type : {type, at::kFloat})
        for (const auto kind : {RmsWeight::kPlain, RmsWeight::kFromOne}) {
          const at::Tensor weight = values({width}, weight_type, 1, 2);
          const at::Tensor here = rms_norm(x, weight, 1e-6, kind);
          const at::Tensor there = rms_norm(x.cuda(), weight.cuda(), 1e-6, kind);
          EXPECT_EQ(there.scalar_type(), here.scalar_type());
          EXPECT_LT(error(there.cpu(), here), room(type)) << c10::toString(type) << " " << width;
        }
      EXPECT_LT(error(swiglu(x.cuda(), y.cuda()).cpu(), swiglu(x, y)), room(type));
      EXPECT_LT(error(geglu(x.cuda(), y.cuda()).cpu(), geglu(x, y)), room(type));
    }
}

TEST(Device, DropoutHasTheCpusMaskToTheBit) {
  DS_NEEDS_GPU();
  for (const auto type : kTypes)
    for (const int64_t n : {1, 31, 100'003}) {
      const at::Tensor x = values({n}, type), residual = values({n}, type, 1, 2);
      for (const double p : {0.1, 0.5, 1.0}) {
        EXPECT_TRUE(dropout(x.to(at::kCUDA), p, {5, 6}).cpu().equal(dropout(x, p, {5, 6}))) << n << " " << p;
        EXPECT_TRUE(dropout_add(residual.to(at::kCUDA), x.to(at::kCUDA), p, {5, 6})
                        .cpu()
                        .equal(dropout_add(residual, x, p, {5, 6})))
            << c10::toString(type) << " " << n << " " << p;
      }
    }
}

TEST(Device, SumsOfSquares) {
  DS_NEEDS_GPU();
  for (const auto type : kTypes) {
    const at::Tensor x = values({100'003}, type);
    EXPECT_NEAR(sum_squares(x.to(at::kCUDA)) / sum_squares(x), 1, 1e-9);
  }
  EXPECT_TRUE(std::isinf(sum_squares(at::full({3}, INFINITY, at::kCUDA))));
  EXPECT_TRUE(std::isnan(sum_squares(at::full({3}, NAN, at::kCUDA))));
}

testing::State on_gpu(const testing::State& s) {
  testing::State there{s.param.to(at::kCUDA), s.grad.to(at::kCUDA), {}, {}};
  for (const at::Tensor& t : s.states) there.states.push_back(t.to(at::kCUDA));
  if (s.copy.defined()) there.copy = s.copy.to(at::kCUDA);
  return there;
}

testing::State on_cpu(const testing::State& s) {
  testing::State here{s.param.cpu(), s.grad.cpu(), {}, {}};
  for (const at::Tensor& t : s.states) here.states.push_back(t.cpu());
  if (s.copy.defined()) here.copy = s.copy.cpu();
  return here;
}

TEST(Device, AdamIsTheCpusFusedOrderToTheBit) {
  DS_NEEDS_GPU();
  for (const auto& formats : testing::all_formats())
    for (const int64_t n : {1, 1000, 1'000'003})
      for (const bool adamw : {true, false}) {
        if (n > 1000 && formats.grad == at::kHalf) continue;
        const testing::State here = testing::random_state(n, 2, formats), there = on_gpu(here);
        for (int64_t step = 1; step <= 3; ++step) {
          const AdamArgs args{
              .lr = 1e-2, .weight_decay = 0.1, .step = step, .adamw = adamw, .grad_scale = 0.37};
          adam_step(here.param, here.grad, here.states[0], here.states[1], args, here.copy);
          adam_step(there.param, there.grad, there.states[0], there.states[1], args, there.copy);
        }
        testing::expect_same_bits(on_cpu(there), here, fmt::format("{} {} {}", formats.name(), n, adamw));
      }
}

TEST(Device, AdamRefusesTheCpusOrderAndTensorsOfSeveralDevices) {
  DS_NEEDS_GPU();
  const testing::State s = on_gpu(testing::random_state(8, 2));
  const auto step = [&](const at::Tensor& grad, UpdateOrder order) {
    return testing::message_of([&] { adam_step(s.param, grad, s.states[0], s.states[1], {.order = order}); });
  };
  EXPECT_NE(step(s.grad, UpdateOrder::kCpu).find("has a kernel for the CPU only"), std::string::npos);
  EXPECT_NE(step(s.grad.cpu(), UpdateOrder::kFused).find("adam_step: grad is on cpu"), std::string::npos);
}

TEST(Device, AdagradAndLion) {
  DS_NEEDS_GPU();
  const testing::Formats formats{.grad = at::kBFloat16, .copy = at::kBFloat16};
  const testing::State a = testing::random_state(3333, 1, formats), b = on_gpu(a);
  const testing::State c = testing::random_state(3333, 1, formats), d = on_gpu(c);
  for (int64_t step = 1; step <= 3; ++step) {
    for (const auto& s : {a, b})
      adagrad_step(s.param, s.grad, s.states[0], {.weight_decay = 0.1, .step = step}, s.copy);
    for (const auto& s : {c, d}) lion_step(s.param, s.grad, s.states[0], {.weight_decay = 0.1}, s.copy);
  }
  for (const auto& [here, there] : {std::pair{a, on_cpu(b)}, std::pair{c, on_cpu(d)}})
    for (size_t i = 0; i < here.written().size(); ++i)
      EXPECT_LT(error(there.written()[i], here.written()[i]), room(here.written()[i].scalar_type())) << i;
}

}  // namespace
}  // namespace deepspeed::ops
