#include "deepspeed/ops/cpu/gemm_loop_avx512.h"

namespace deepspeed::ops::cpu {
namespace {

struct Fp32Units {
  using Element = float;
  static constexpr int64_t kDepth = 1;
  static DS_INLINE __m512 madd(__m512 sum, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, sum); }
  static DS_INLINE __m512 along(const float* p, int64_t elements) {
    return elements >= 16 ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(first_lanes(elements), p);
  }
  static DS_INLINE __m512 across(const float* p, int64_t, int64_t, __mmask16 lanes) {
    return _mm512_maskz_loadu_ps(lanes, p);
  }
};

}  // namespace

const GemmKernel kGemmFp32Avx512 = kGemmByUnits<Fp32Units>;

}  // namespace deepspeed::ops::cpu
