#include <immintrin.h>

#include "deepspeed/ops/cpu/sum_squares_loop.h"

namespace deepspeed::ops::cpu {
namespace {

struct Avx2 {
  static constexpr int64_t kWidth = 4;
  using Reg = __m256d;
  static Reg zero() { return _mm256_setzero_pd(); }
  static void store(double* p, Reg x) { _mm256_storeu_pd(p, x); }
  static Reg add_square(Reg sum, const float* x) { return add_square(sum, _mm_loadu_ps(x)); }
  static Reg add_square(Reg sum, const Bf16* x) {
    return add_square(sum, _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(load_half(x)), 16)));
  }
  static Reg add_square(Reg sum, const Fp16* x) { return add_square(sum, _mm_cvtph_ps(load_half(x))); }

 private:
  static __m128i load_half(const void* x) { return _mm_loadl_epi64(static_cast<const __m128i*>(x)); }
  static Reg add_square(Reg sum, __m128 x) {
    const __m256d d = _mm256_cvtps_pd(x);
    return _mm256_fmadd_pd(d, d, sum);
  }
};

}  // namespace

double sum_squares_avx2(const void* x, int64_t n, SumFormat format) {
  return sum_squares_loop<Avx2>(x, n, format);
}

}  // namespace deepspeed::ops::cpu
