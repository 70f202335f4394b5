// The fused ops against what ATen offers for the same work, forward and backward, at the sizes of one rank of
// the 45M GPT-2 (512 tokens, width 512, vocabulary 50257). One thread unless OMP_NUM_THREADS says otherwise:
//   OMP_NUM_THREADS=1 ops_fused_bench --benchmark_filter=CrossEntropy
// Each pair is Ours/Aten with the element type as its argument: 0 fp32, 1 bf16.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/linear_cross_entropy.h"
#include "deepspeed/ops/rms_norm.h"
#include "deepspeed/ops/swiglu.h"

namespace {

using deepspeed::ops::GeluKind;
using Tensors = std::vector<at::Tensor>;

constexpr int64_t kTokens = 512, kWidth = 512, kInner = 2048, kVocabulary = 50257;

at::Tensor leaf(at::IntArrayRef sizes, at::ScalarType type) {
  return (at::randn(sizes) * 0.3).to(type).requires_grad_();
}

// Forward and backward of y = f(inputs), the gradient of y being ones.
template <class Make, class F>
void measure(benchmark::State& state, Make make, F f) {
  const Tensors inputs = make(state.range(0) == 1 ? at::kBFloat16 : at::kFloat);
  const at::Tensor upstream = at::ones_like(f(inputs).detach());
  for (auto _ : state) {
    const at::Tensor y = f(inputs);
    benchmark::DoNotOptimize(torch::autograd::grad({y}, inputs, {upstream}));
  }
}

Tensors norm_inputs(at::ScalarType type) {
  return {leaf({kTokens, kWidth}, type), leaf({kWidth}, type), leaf({kWidth}, type)};
}
void LayerNormOurs(benchmark::State& state) {
  measure(state, norm_inputs,
          [](const Tensors& t) { return deepspeed::ops::layer_norm(t[0], t[1], t[2], 1e-5); });
}
void LayerNormAten(benchmark::State& state) {
  measure(state, norm_inputs,
          [](const Tensors& t) { return at::layer_norm(t[0], {kWidth}, t[1], t[2], 1e-5); });
}

Tensors rms_inputs(at::ScalarType type) { return {leaf({kTokens, kWidth}, type), leaf({kWidth}, type)}; }
void RmsNormOurs(benchmark::State& state) {
  measure(state, rms_inputs, [](const Tensors& t) { return deepspeed::ops::rms_norm(t[0], t[1], 1e-6); });
}
// As Hugging Face's LlamaRMSNorm computes it.
void RmsNormAten(benchmark::State& state) {
  measure(state, rms_inputs, [](const Tensors& t) {
    const at::Tensor x = t[0].to(at::kFloat);
    return t[1] * (x * at::rsqrt(x.pow(2).mean(-1, true) + 1e-6)).to(t[0].scalar_type());
  });
}

Tensors inner_input(at::ScalarType type) { return {leaf({kTokens, kInner}, type)}; }
void GeluTanhOurs(benchmark::State& state) {
  measure(state, inner_input, [](const Tensors& t) { return deepspeed::ops::gelu(t[0], GeluKind::kTanh); });
}
void GeluTanhAten(benchmark::State& state) {
  measure(state, inner_input, [](const Tensors& t) { return at::gelu(t[0], "tanh"); });
}
// As Hugging Face's NewGELUActivation ("gelu_new") computes it.
void GeluTanhEager(benchmark::State& state) {
  measure(state, inner_input, [](const Tensors& t) {
    const at::Tensor& x = t[0];
    return 0.5 * x * (1.0 + at::tanh(0.7978845608 * (x + 0.044715 * x.pow(3.0))));
  });
}
void GeluErfOurs(benchmark::State& state) {
  measure(state, inner_input, [](const Tensors& t) { return deepspeed::ops::gelu(t[0], GeluKind::kErf); });
}
void GeluErfAten(benchmark::State& state) {
  measure(state, inner_input, [](const Tensors& t) { return at::gelu(t[0]); });
}

Tensors gate_inputs(at::ScalarType type) {
  return {leaf({kTokens, kInner}, type), leaf({kTokens, kInner}, type)};
}
void SwigluOurs(benchmark::State& state) {
  measure(state, gate_inputs, [](const Tensors& t) { return deepspeed::ops::swiglu(t[0], t[1]); });
}
void SwigluAten(benchmark::State& state) {
  measure(state, gate_inputs, [](const Tensors& t) { return at::silu(t[0]) * t[1]; });
}

Tensors head_inputs(at::ScalarType type) {
  return {leaf({kTokens, kWidth}, type), leaf({kVocabulary, kWidth}, type)};
}
// Three products of N x C x V each.
void count_products(benchmark::State& state) {
  state.counters["GFLOP/s"] = benchmark::Counter(6.0 * kTokens * kWidth * kVocabulary * 1e-9,
                                                 benchmark::Counter::kIsIterationInvariantRate);
}
void CrossEntropyOurs(benchmark::State& state) {
  const at::Tensor labels = at::randint(kVocabulary, {kTokens}, at::kLong);
  measure(state, head_inputs,
          [&](const Tensors& t) { return deepspeed::ops::linear_cross_entropy(t[0], t[1], labels); });
  count_products(state);
}
void CrossEntropyAten(benchmark::State& state) {
  const at::Tensor labels = at::randint(kVocabulary, {kTokens}, at::kLong);
  measure(state, head_inputs, [&](const Tensors& t) {
    return at::cross_entropy_loss(at::matmul(t[0], t[1].t()).to(at::kFloat), labels);
  });
  count_products(state);
}

BENCHMARK(LayerNormOurs)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(LayerNormAten)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(RmsNormOurs)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(RmsNormAten)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(GeluTanhOurs)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(GeluTanhAten)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(GeluTanhEager)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(GeluErfOurs)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(GeluErfAten)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(SwigluOurs)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(SwigluAten)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK(CrossEntropyOurs)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK(CrossEntropyAten)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
