#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>

#include "deepspeed/ops/cpu/adam_loop.h"

namespace deepspeed::ops::cpu {
namespace {

struct Scalar {
  static constexpr int64_t kWidth = 1;
  using Reg = float;
  static Reg set(float x) { return x; }
  static Reg load(const float* p) { return *p; }
  static void store(float* p, Reg x) { *p = x; }
  static Reg mul(Reg a, Reg b) { return a * b; }
  static Reg div(Reg a, Reg b) { return a / b; }
  static Reg sqrt(Reg a) { return std::sqrt(a); }
  static Reg fma(Reg a, Reg b, Reg c) { return a * b + c; }
  static Reg load_bf16(const uint16_t* p) { return c10::detail::f32_from_bits(*p); }
  static Reg load_fp16(const uint16_t* p) { return c10::detail::fp16_ieee_to_fp32_value(*p); }
  static void store_bf16(uint16_t* p, Reg x) { *p = c10::detail::round_to_nearest_even(x); }
  static void store_fp16(uint16_t* p, Reg x) { *p = c10::detail::fp16_ieee_from_fp32_value(x); }
};

}  // namespace

void adam_scalar(const AdamBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants) {
  adam_loop<Scalar>(buffers, begin, end, constants);
}

AdamKernel adam_kernel(base::Isa isa) {
  if (isa >= base::Isa::kAvx512) return adam_avx512;
  return isa == base::Isa::kAvx2 ? adam_avx2 : adam_scalar;
}

}  // namespace deepspeed::ops::cpu
