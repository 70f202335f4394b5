// The product as it is defined: what the other kernels are held against.
#include "deepspeed/ops/cpu/gemm_kernel.h"
#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

float widened(float x) { return x; }
float widened(uint16_t x) { return bf16_to_float(x); }

template <class T>
const T& at(const GemmFactor& f, int64_t i, int64_t k) {
  return static_cast<const T*>(f.data)[i * f.stride + k * f.depth_stride];
}

template <class T>
int64_t packed_bytes(int64_t n, int64_t k) {
  return n * k * static_cast<int64_t>(sizeof(T));
}

template <class T>
void pack(const GemmFactor& b, int64_t n, int64_t k, void* packed) {
  T* to = static_cast<T*>(packed);
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = 0; i < k; ++i) *to++ = at<T>(b, j, i);
}

template <class T>
void multiply(const Gemm& g, void*) {
  const GemmFactor b = g.packed_b != nullptr ? GemmFactor{g.packed_b, g.k, 1} : g.b;
  for (int64_t i = 0; i < g.m; ++i)
    for (int64_t j = 0; j < g.n; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < g.k; ++k) sum += widened(at<T>(g.a, i, k)) * widened(at<T>(b, j, k));
      if (g.add != nullptr) sum += g.add[i * g.add_stride + j];
      g.out[i * g.out_stride + j] = sum;
    }
}

template <class T>
constexpr GemmKernel kScalar = {sizeof(T), 0, packed_bytes<T>, pack<T>, multiply<T>};

}  // namespace

const GemmKernel kGemmFp32Scalar = kScalar<float>;
const GemmKernel kGemmBf16Scalar = kScalar<uint16_t>;

}  // namespace deepspeed::ops::cpu
