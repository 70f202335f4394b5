#include <type_traits>

#include "deepspeed/ops/cuda/element.cuh"
#include "deepspeed/ops/cuda/kernels.h"

namespace deepspeed::ops::cuda {
namespace {

using cpu::PackedActivation;
using cpu::PackedScheme;

constexpr int64_t kRowsAtOnce = 4;  // of x, that a weight is read for once; more are taken in turns
constexpr int kChunk = 16;  // numbers of a row that a thread takes at once: all of one group

template <PackedScheme S>
constexpr int kChunkBytes = S == PackedScheme::kInt4 ? kChunk / 2 : kChunk;

// An e3m2 code's number.
__device__ inline float fp6_value(uint32_t code) {
  const uint32_t exponent = code >> 2 & 7, mantissa = code & 3;
  const float magnitude =
      exponent == 0 ? 0.0625f * mantissa : __uint_as_float((exponent + 124) << 23 | mantissa << 21);
  return code & 32 ? -magnitude : magnitude;
}

// Codes of a chunk as numbers, without their scale.
template <PackedScheme S>
__device__ inline void read_codes(const uint8_t* from, float q[kChunk]) {
  if constexpr (S == PackedScheme::kInt4) {
    const uint2 bits = *reinterpret_cast<const uint2*>(from);
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      q[i] = static_cast<float>(static_cast<int>((i < 8 ? bits.x : bits.y) >> 4 * (i % 8) & 15) - 8);
  } else {
    const uint4 bits = *reinterpret_cast<const uint4*>(from);
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      const uint32_t code = words[i / 4] >> 8 * (i % 4) & 255;
      if constexpr (S == PackedScheme::kFp6)
        q[i] = fp6_value(code);
      else
        q[i] = static_cast<float>(static_cast<int8_t>(code));
    }
  }
}

// Row `n`'s scale and shift of the group that number k belongs to.
struct Scale {
  float scale, shift;
};
__device__ inline Scale scale_at(const DevicePacked& w, int64_t n, int64_t k) {
  const int64_t at = n * w.groups + (w.group > 0 ? k / w.group : 0);
  const auto* scales = static_cast<const __nv_bfloat16*>(w.scales);
  if (w.shifts == nullptr) return {load(scales, at), 0.0f};
  return {load(scales, at), load(static_cast<const __nv_bfloat16*>(w.shifts), at)};
}

template <class T>
__device__ inline void read_x(const T* x, int64_t k, int64_t in, bool whole, float out[kChunk]) {
  if (whole && k + kChunk <= in) {
    alignas(16) T held[kChunk];
    constexpr int kVectors = kChunk * sizeof(T) / sizeof(uint4);
#pragma unroll
    for (int i = 0; i < kVectors; ++i)
      reinterpret_cast<uint4*>(held)[i] = reinterpret_cast<const uint4*>(x + k)[i];
#pragma unroll
    for (int i = 0; i < kChunk; ++i) out[i] = load(held, i);
    return;
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i) out[i] = k + i < in ? load(x, k + i) : 0.0f;
}

// A warp gives two outputs of R rows of x: neighbours, or a gate and the up that it multiplies.
template <class T, PackedScheme S, int R>
__global__ void few_rows_kernel(FewRows s) {
  const DevicePacked& w = s.weight;
  const int lane = threadIdx.x % 32;
  const int64_t unit = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  const int64_t half = w.out / 2, units = s.gated ? half : (w.out + 1) / 2;
  if (unit >= units) return;
  const int64_t first = s.gated ? unit : 2 * unit;
  const int64_t wanted = s.gated ? unit + half : first + 1, second = wanted < w.out ? wanted : first;
  const auto* x = static_cast<const T*>(s.x);
  const bool aligned = w.in % (sizeof(uint4) / sizeof(T)) == 0;
  const uint8_t *codes0 = w.codes + first * w.row_bytes, *codes1 = w.codes + second * w.row_bytes;
  float sum[2][R] = {};
  for (int64_t k = lane * kChunk; k < w.in; k += 32 * kChunk) {
    float q0[kChunk], q1[kChunk];
    read_codes<S>(codes0 + k / kChunk * kChunkBytes<S>, q0);
    read_codes<S>(codes1 + k / kChunk * kChunkBytes<S>, q1);
    const Scale scale0 = scale_at(w, first, k), scale1 = scale_at(w, second, k);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float v[kChunk], dot0 = 0, dot1 = 0, all = 0;
      read_x(x + r * w.in, k, w.in, aligned, v);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        dot0 += q0[i] * v[i];
        dot1 += q1[i] * v[i];
        all += v[i];
      }
      sum[0][r] += scale0.scale * dot0 + scale0.shift * all;
      sum[1][r] += scale1.scale * dot1 + scale1.shift * all;
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int o = 0; o < 2; ++o)
      for (int step = 16; step > 0; step /= 2) sum[o][r] += __shfl_xor_sync(0xFFFFFFFFu, sum[o][r], step);
  if (lane != 0) return;
  const int64_t width = s.gated ? half : w.out;
  auto* out = static_cast<T*>(s.out);
  const auto* residual = static_cast<const T*>(s.residual);
  const auto put = [&](int r, int64_t n, float y) {
    if (residual != nullptr) y += load(residual, r * width + n);
    store(out, r * width + n, y);
  };
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float y0 = sum[0][r], y1 = sum[1][r];
    if (w.bias != nullptr) y0 += w.bias[first], y1 += w.bias[second];
    if (s.gated) {
      put(r, unit, activated(y0, s.activation) * y1);
    } else {
      put(r, first, activated(y0, s.activation));
      if (second != first) put(r, second, activated(y1, s.activation));
    }
  }
}

template <class T, PackedScheme S>
__global__ void dequantize_kernel(DevicePacked w, const int64_t* ids, int64_t rows, T* out) {
  const int64_t chunks = (w.in + kChunk - 1) / kChunk, stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t at = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; at < rows * chunks; at += stride) {
    const int64_t row = at / chunks, k = at % chunks * kChunk;
    const int64_t n = ids != nullptr ? ids[row] : row;
    float q[kChunk];
    Scale scale{__uint_as_float(0x7FC00000u), 0.0f};  // what is no row of the weight is NaN
    if (n >= 0 && n < w.out) {
      read_codes<S>(w.codes + n * w.row_bytes + k / kChunk * kChunkBytes<S>, q);
      scale = scale_at(w, n, k);
    }
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      if (k + i < w.in) store(out, row * w.in + k + i, scale.scale * q[i] + scale.shift);
  }
}

template <PackedScheme S>
using SchemeIs = std::integral_constant<PackedScheme, S>;

// body(SchemeIs<S>{})
template <class Body>
void with_scheme(PackedScheme scheme, Body&& body) {
  switch (scheme) {
    case PackedScheme::kInt4:
      return body(SchemeIs<PackedScheme::kInt4>{});
    case PackedScheme::kFp6:
      return body(SchemeIs<PackedScheme::kFp6>{});
    default:  // both kinds of 8 bits
      return body(SchemeIs<PackedScheme::kInt8>{});
  }
}

template <class T, PackedScheme S>
void launch_few_rows(const FewRows& s, cudaStream_t stream) {
  const int64_t units = s.gated ? s.weight.out / 2 : (s.weight.out + 1) / 2;
  constexpr int kWarps = 4;
  const auto blocks = static_cast<unsigned>((units + kWarps - 1) / kWarps);
  switch (s.rows) {
    case 1:
      return few_rows_kernel<T, S, 1><<<blocks, 32 * kWarps, 0, stream>>>(s);
    case 2:
      return few_rows_kernel<T, S, 2><<<blocks, 32 * kWarps, 0, stream>>>(s);
    case 3:
      return few_rows_kernel<T, S, 3><<<blocks, 32 * kWarps, 0, stream>>>(s);
    default:
      return few_rows_kernel<T, S, 4><<<blocks, 32 * kWarps, 0, stream>>>(s);
  }
}

}  // namespace

void packed_few_rows(const FewRows& given, Stream stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  with_type(given.type, [&](auto element) {
    using T = decltype(element);
    const int64_t width = given.gated ? given.weight.out / 2 : given.weight.out;
    with_scheme(given.weight.scheme, [&](auto scheme) {
      for (int64_t row = 0; row < given.rows; row += kRowsAtOnce) {
        FewRows s = given;
        s.rows = given.rows - row < kRowsAtOnce ? given.rows - row : kRowsAtOnce;
        s.x = static_cast<const T*>(given.x) + row * given.weight.in;
        s.out = static_cast<T*>(given.out) + row * width;
        if (given.residual != nullptr) s.residual = static_cast<const T*>(given.residual) + row * width;
        launch_few_rows<T, decltype(scheme)::value>(s, on);
      }
    });
  });
  check_launch("packed_linear");
}

void packed_dequantize(const DevicePacked& weight, const int64_t* ids, int64_t rows, cpu::Element type,
                       void* out, Stream stream) {
  if (rows == 0) return;
  const int64_t chunks = (weight.in + kChunk - 1) / kChunk;
  with_type(type, [&](auto element) {
    using T = decltype(element);
    with_scheme(weight.scheme, [&](auto scheme) {
      dequantize_kernel<T, decltype(scheme)::value><<<blocks_for(rows * chunks), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
          weight, ids, rows, static_cast<T*>(out));
    });
  });
  check_launch("packed weight");
}

}  // namespace deepspeed::ops::cuda
