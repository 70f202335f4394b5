#include <immintrin.h>

#include "deepspeed/ops/cpu/sum_squares_loop.h"

namespace deepspeed::ops::cpu {
namespace {

struct Avx512 {
  static constexpr int64_t kWidth = 8;
  using Reg = __m512d;
  static Reg zero() { return _mm512_setzero_pd(); }
  static void store(double* p, Reg x) { _mm512_storeu_pd(p, x); }
  static Reg add_square(Reg sum, const float* x) { return add_square(sum, _mm256_loadu_ps(x)); }
  static Reg add_square(Reg sum, const Bf16* x) {
    return add_square(sum, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_half(x)), 16)));
  }
  static Reg add_square(Reg sum, const Fp16* x) { return add_square(sum, _mm256_cvtph_ps(load_half(x))); }

 private:
  static __m128i load_half(const void* x) { return _mm_loadu_si128(static_cast<const __m128i*>(x)); }
  static Reg add_square(Reg sum, __m256 x) {
    const __m512d d = _mm512_cvtps_pd(x);
    return _mm512_fmadd_pd(d, d, sum);
  }
};

}  // namespace

double sum_squares_avx512(const void* x, int64_t n, SumFormat format) {
  return sum_squares_loop<Avx512>(x, n, format);
}

}  // namespace deepspeed::ops::cpu
