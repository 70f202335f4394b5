#include "deepspeed/ops/activation.h"

#include <gmock/gmock.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/reference/activation.h"
#include "deepspeed/ops/swiglu.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;

const std::vector<at::ScalarType> kTypes = {at::kFloat, at::kBFloat16, at::kHalf};

// Relative, but for values below `floor`.
double relative_error(const at::Tensor& a, const at::Tensor& b, double floor) {
  const at::Tensor x = a.detach().to(at::kDouble), y = b.detach().to(at::kDouble);
  return ((x - y).abs() / y.abs().clamp_min(floor)).max().item<double>();
}

TEST(ActivationKernels, GeluAgreesWithTheReferenceForEveryInstructionSetAndType) {
  for (base::Isa isa : runnable_isas())
    for (at::ScalarType type : kTypes)
      for (GeluKind kind : {GeluKind::kTanh, GeluKind::kErf}) {
        const bool tanh = kind == GeluKind::kTanh;
        SCOPED_TRACE(
            fmt::format("{} {} {}", base::isa_name(isa), c10::toString(type), tanh ? "tanh" : "erf"));
        const at::Tensor x = leaf(at::linspace(-9, 9, 10007).to(type)), dy = values({10007}, type);
        const at::Tensor y = at::empty_like(x), dx = at::empty_like(x);
        const cpu::Element element = checked_element("test", "x", x);
        for_elements(activation_kernels(isa).gelu, {element, tanh, x.data_ptr(), y.data_ptr()}, x.numel());
        const at::Tensor expected = reference::gelu(x, kind);
        EXPECT_LT(error(y, expected), tolerance(type));
        for_elements(activation_kernels(isa).gelu_backward,
                     {element, tanh, x.data_ptr(), dy.data_ptr(), dx.data_ptr()}, x.numel());
        EXPECT_LT(error(dx, gradients(expected, {x}, dy.to(at::kDouble))[0]), tolerance(type));
      }
}

TEST(ActivationKernels, GeluKeepsItsDigitsInTheTail) {
  const at::Tensor x = at::linspace(-9, 9, 100003);
  for (base::Isa isa : runnable_isas()) {
    const at::Tensor y = at::empty_like(x);
    for_elements(activation_kernels(isa).gelu, {cpu::Element::kFp32, false, x.data_ptr(), y.data_ptr()},
                 x.numel());
    EXPECT_LT(relative_error(y, reference::gelu(x, GeluKind::kErf), 1e-30), 3e-6) << base::isa_name(isa);
    for_elements(activation_kernels(isa).gelu, {cpu::Element::kFp32, true, x.data_ptr(), y.data_ptr()},
                 x.numel());
    // exp(2u) turns the rounding of u into a relative error that grows with u, here to 80.
    EXPECT_LT(relative_error(y, reference::gelu(x, GeluKind::kTanh), 1e-30), 1.5e-5) << base::isa_name(isa);
  }
}

TEST(ActivationKernels, GatedUnitsAgreeWithTheReferenceForEveryInstructionSetAndType) {
  for (base::Isa isa : runnable_isas())
    for (at::ScalarType type : kTypes)
      for (cpu::Gate kind : {cpu::Gate::kSilu, cpu::Gate::kGeluTanh}) {
        const bool silu = kind == cpu::Gate::kSilu;
        SCOPED_TRACE(
            fmt::format("{} {} {}", base::isa_name(isa), c10::toString(type), silu ? "silu" : "gelu"));
        const int64_t n = 1003;
        const at::Tensor gate = leaf(at::linspace(-30, 30, n).to(type)), up = leaf(values({n}, type, 1, 2)),
                         dy = values({n}, type, 1, 3);
        const at::Tensor y = at::empty_like(gate), dgate = at::empty_like(gate), dup = at::empty_like(gate);
        const cpu::Element element = checked_element("test", "gate", gate);
        for_elements(activation_kernels(isa).gated,
                     {element, kind, gate.data_ptr(), up.data_ptr(), y.data_ptr()}, n);
        const at::Tensor expected = silu ? reference::swiglu(gate, up) : reference::geglu(gate, up);
        EXPECT_LT(error(y, expected), tolerance(type));
        for_elements(
            activation_kernels(isa).gated_backward,
            {element, kind, gate.data_ptr(), up.data_ptr(), dy.data_ptr(), dgate.data_ptr(), dup.data_ptr()},
            n);
        const auto want = gradients(expected, {gate, up}, dy.to(at::kDouble));
        EXPECT_LT(error(dgate, want[0]), tolerance(type));
        EXPECT_LT(error(dup, want[1]), tolerance(type));
      }
}

TEST(Gelu, DifferentiatesLikeTheReferenceForAnyShapeAndStrides) {
  for (GeluKind kind : {GeluKind::kTanh, GeluKind::kErf})
    for (int64_t n : {0, 1, 3, 17, 768}) {
      const at::Tensor x = leaf(values({n, 5}));
      const at::Tensor y = gelu(x.t(), kind), expected = reference::gelu(x.t(), kind),
                       dy = values({5, n}, at::kFloat, 1, 2);
      EXPECT_TRUE(y.is_contiguous());
      EXPECT_LT(error(y, expected), 1e-6);
      EXPECT_LT(error(gradients(y, {x}, dy)[0], gradients(expected, {x}, dy.to(at::kDouble))[0]), 1e-6);
    }
}

TEST(Gelu, TakesNanInfinityAndTheLargestNumbers) {
  // PyTorch gives the same but for kErf beyond 3e38, which overflows there.
  const at::Tensor x = at::tensor({NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 3e38f, -3e38f, 1e-40f}),
                   y = at::empty_like(x);
  const at::Tensor expected = at::tensor({NAN, INFINITY, NAN, 0.0f, -0.0f, 3e38f, -0.0f, 5e-41f});
  for (base::Isa isa : runnable_isas())
    for (bool tanh : {false, true}) {
      for_elements(activation_kernels(isa).gelu, {cpu::Element::kFp32, tanh, x.data_ptr(), y.data_ptr()},
                   x.numel());
      EXPECT_EQ(error(y, expected), 0) << base::isa_name(isa) << tanh << y;
    }
}

TEST(GatedUnits, DifferentiateOnlyWhatIsWanted) {
  using Unit = at::Tensor (*)(const at::Tensor&, const at::Tensor&);
  for (const auto& [unit, wanted] :
       {std::pair<Unit, Unit>{swiglu, reference::swiglu}, {geglu, reference::geglu}}) {
    const at::Tensor gate = leaf(values({6, 7})), up = leaf(values({6, 7}, at::kFloat, 1, 2)),
                     dy = values({6, 7}, at::kFloat, 1, 3);
    const at::Tensor expected = wanted(gate, up);
    const auto want = gradients(expected, {gate, up}, dy.to(at::kDouble));
    EXPECT_LT(error(gradients(unit(gate, up.detach()), {gate}, dy)[0], want[0]), 1e-6);
    EXPECT_LT(error(gradients(unit(gate.detach(), up), {up}, dy)[0], want[1]), 1e-6);
    EXPECT_LT(error(unit(gate.detach().t(), up.detach().t()), expected.t()), 1e-6);
  }
}

TEST(Activations, RefuseWhatTheyHaveNoKernelFor) {
  EXPECT_THAT(
      [] { gelu(at::ones({2}, at::kLong), GeluKind::kErf); },
      testing::ThrowsMessage<base::Error>("gelu: x is of type Long; convert it to float, bfloat16 or half"));
  EXPECT_THAT(
      [] {
        swiglu(at::ones({2, 3}), at::ones({3, 2}));
      },
      testing::ThrowsMessage<base::Error>(
          "swiglu: gate is [2, 3] of Float on cpu, up is [3, 2] of Float on cpu; they must be alike"));
}

}  // namespace
}  // namespace deepspeed::ops
