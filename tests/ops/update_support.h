// States of every format that the optimizers' kernels take, and what a kernel in fp32 may make of them.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/update_kernel.h"

namespace deepspeed::ops::testing {

struct Formats {
  at::ScalarType param = at::kFloat, grad = at::kFloat, state = at::kFloat;
  std::optional<at::ScalarType> copy;
  std::string name() const {
    return fmt::format("param {} grad {} state {} copy {}", c10::toString(param), c10::toString(grad),
                       c10::toString(state), copy ? c10::toString(*copy) : "none");
  }
};

/// All 30 that there are.
inline std::vector<Formats> all_formats() {
  std::vector<Formats> all;
  for (auto grad : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (auto state : {at::kFloat, at::kBFloat16})
      for (auto copy : {std::optional<at::ScalarType>{}, {at::kBFloat16}, {at::kHalf}})
        all.push_back({at::kFloat, grad, state, copy});
    for (auto param : {at::kBFloat16, at::kHalf})
      for (auto state : {at::kFloat, param}) all.push_back({param, grad, state, {}});
  }
  return all;
}

/// The instruction sets of this processor.
inline std::vector<base::Isa> present_isas() {
  std::vector<base::Isa> present;
  for (base::Isa isa : {base::Isa::kScalar, base::Isa::kAvx2, base::Isa::kAvx512})
    if (base::best_isa({isa}) == isa) present.push_back(isa);
  return present;
}

struct State {
  at::Tensor param, grad;
  std::vector<at::Tensor> states;
  at::Tensor copy;

  State clone() const {
    return map([](const at::Tensor& t) { return t.clone(); });
  }
  State piece(int64_t first, int64_t count) const {
    return map([&](const at::Tensor& t) { return t.narrow(0, first, count); });
  }
  /// The same numbers in fp64, but for the copy.
  State widened() const {
    State wide = map([](const at::Tensor& t) { return t.to(at::kDouble); });
    if (copy.defined()) wide.copy = copy.clone();
    return wide;
  }
  std::vector<at::Tensor> written() const {
    std::vector<at::Tensor> all = states;
    all.push_back(param);
    if (copy.defined()) all.push_back(copy);
    return all;
  }

 private:
  template <class F>
  State map(F&& f) const {
    State out{f(param), f(grad), {}, copy.defined() ? f(copy) : copy};
    for (const at::Tensor& s : states) out.states.push_back(f(s));
    return out;
  }
};

/// Parameters and gradients are normal; the last state holds squares.
inline State random_state(int64_t n, int states, const Formats& formats = {}, uint64_t seed = 1) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  auto normal = [&] { return at::randn({n}, generator, at::kFloat); };
  State s{normal().to(formats.param), normal().to(formats.grad), {}, {}};
  if (states == 2) s.states.push_back((normal() * 0.1).to(formats.state));
  s.states.push_back((normal().square() * 0.01).to(formats.state));
  if (formats.copy) s.copy = at::zeros({n}, *formats.copy);
  return s;
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.numel() == b.numel() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

inline void expect_same_bits(const State& a, const State& b, const std::string& what) {
  const auto left = a.written(), right = b.written();
  for (size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(same_bits(left[i], right[i])) << what << " " << i;
}

/// `actual` is what rounding to its format makes of a number within `tolerance` of `expected`.
inline void expect_rounded(const at::Tensor& actual, const at::Tensor& expected, const at::Tensor& tolerance,
                           const std::string& what) {
  const at::Tensor low = (expected - tolerance).to(actual.scalar_type()),
                   high = (expected + tolerance).to(actual.scalar_type());
  EXPECT_TRUE((actual >= low).logical_and(actual <= high).all().item<bool>())
      << what << ": off by up to " << (actual.to(at::kDouble) - expected).abs().max().item<double>();
}

/// A few units in the last place of what was added up, not of the sum, which may cancel: `scales` says how
/// large that was, a state each and the parameter's.
inline void expect_near(const State& actual, const State& expected, const std::vector<double>& scales,
                        const std::string& what) {
  auto near = [&](const at::Tensor& a, const at::Tensor& e, double scale) {
    expect_rounded(a, e, 4e-7 * (e.abs() + scale), what);
  };
  for (size_t k = 0; k < actual.states.size(); ++k) near(actual.states[k], expected.states[k], scales[k]);
  near(actual.param, expected.param, scales.back());
  if (!actual.copy.defined()) return;
  EXPECT_TRUE(same_bits(actual.copy, actual.param.to(actual.copy.scalar_type()))) << what;
}

inline cpu::Element element_of(const at::Tensor& t) {
  if (!t.defined() || t.scalar_type() == at::kFloat) return cpu::Element::kFp32;
  return t.scalar_type() == at::kHalf ? cpu::Element::kFp16 : cpu::Element::kBf16;
}

inline cpu::UpdateBuffers buffers_of(const State& s, bool stream_copy) {
  cpu::UpdateBuffers b{};
  b.param = s.param.data_ptr(), b.param_type = element_of(s.param);
  b.grad = s.grad.const_data_ptr(), b.grad_type = element_of(s.grad);
  for (size_t k = 0; k < s.states.size(); ++k) b.states[k] = s.states[k].data_ptr();
  b.state_type = element_of(s.states[0]);
  if (s.copy.defined()) b.copy = s.copy.data_ptr(), b.copy_type = element_of(s.copy);
  b.stream_copy = stream_copy && s.copy.defined();
  return b;
}

/// Runs kernel(isa, buffers, count) and reference(state in fp64) on pieces of many lengths and alignments in
/// every format on every instruction set of this processor, and compares them. Elements beside a piece must
/// not change, and vectors of different widths must agree to the bit.
template <class Kernel, class Reference>
void check_every_path(int states, const std::vector<double>& scales, Kernel&& kernel, Reference&& reference) {
  for (const Formats& formats : all_formats())
    for (const auto& [first, count] :
         std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {1, 1}, {3, 3}, {0, 8}, {5, 22}, {2, 1021}}) {
      const State before = random_state(first + count + 40, states, formats, count + 7);
      const State expected = before.widened();
      reference(expected.piece(first, count));
      std::optional<State> vectors;
      for (base::Isa isa : present_isas()) {
        const State actual = before.clone();
        kernel(isa, buffers_of(actual.piece(first, count), count % 2 == 1), count);
        const std::string what = fmt::format("{} {} {}", base::isa_name(isa), formats.name(), count);
        expect_near(actual.piece(first, count), expected.piece(first, count), scales, what);
        expect_same_bits(actual.piece(0, first), before.piece(0, first), what);
        expect_same_bits(actual.piece(first + count, 40), before.piece(first + count, 40), what);
        if (isa == base::Isa::kScalar) continue;  // without fused multiply-add
        if (vectors) expect_same_bits(actual, *vectors, what);
        vectors = actual;
      }
    }
}

/// step(state) on whole arrays, on pieces and on two threads gives the same bits.
template <class Step>
void check_position_and_threads(int states, const Formats& formats, Step&& step) {
  const int64_t n = 100'003;
  const State whole = random_state(n, states, formats), parts = whole.clone(), threaded = whole.clone();
  at::set_num_threads(1);
  step(whole);
  for (int64_t begin = 0, length = 1; begin < n; begin += length, length = length * 2 + 1)
    step(parts.piece(begin, std::min(length, n - begin)));
  at::set_num_threads(2);
  step(threaded);
  at::set_num_threads(1);
  expect_same_bits(whole, parts, "pieces");
  expect_same_bits(whole, threaded, "threads");
}

/// A copy so long that it is written past the caches has the bits of a short one.
template <class Step>
void check_streamed_copy(int states, Step&& step) {
  const int64_t n = (int64_t{4} << 20) + 5;
  for (auto copy : {at::kBFloat16, at::kHalf}) {
    const State s = random_state(n + 1, states, {.copy = copy}).piece(1, n);
    step(s);
    EXPECT_TRUE(same_bits(s.copy.contiguous(), s.param.to(copy))) << c10::toString(copy);
  }
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace deepspeed::ops::testing
