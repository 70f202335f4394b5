#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "deepspeed/ops/cpu/sum_squares_loop.h"

namespace deepspeed::ops::cpu {
namespace {

struct Scalar {
  static constexpr int64_t kWidth = 1;
  using Reg = double;
  static Reg zero() { return 0; }
  static void store(double* p, Reg x) { *p = x; }
  static Reg add_square(Reg sum, const float* x) { return sum + static_cast<double>(*x) * *x; }
  static Reg add_square(Reg sum, const Bf16* x) {
    const float f = c10::detail::f32_from_bits(x->bits);
    return add_square(sum, &f);
  }
  static Reg add_square(Reg sum, const Fp16* x) {
    const float f = c10::detail::fp16_ieee_to_fp32_value(x->bits);
    return add_square(sum, &f);
  }
};

}  // namespace

double sum_squares_scalar(const void* x, int64_t n, SumFormat format) {
  return sum_squares_loop<Scalar>(x, n, format);
}

SumSquaresKernel sum_squares_kernel(base::Isa isa) {
  if (isa >= base::Isa::kAvx512) return sum_squares_avx512;
  return isa == base::Isa::kAvx2 ? sum_squares_avx2 : sum_squares_scalar;
}

}  // namespace deepspeed::ops::cpu
