// What this processor can do, found once at run time. Torch-free, so that ds_report can print it.
#pragma once

#include <string>
#include <vector>

namespace deepspeed::base {

/// Instruction sets that kernels are written for, in rising order of preference.
enum class Isa { kScalar, kAvx2, kAvx512, kAvx512Bf16, kAmx };

struct CpuFeatures {
  bool avx2 = false;    // avx2, fma and f16c
  bool avx512 = false;  // avx512 f, bw, dq and vl
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool avx512_fp16 = false;
  bool amx_tile = false;  // and the kernel granted permission to use it
  bool amx_bf16 = false;
  bool amx_int8 = false;
  /// bf16 products are faster than fp32 ones: by AMX, or by the dot products of AMD's processors. Intel's
  /// have half the rate of fp32 there (86 against 166 GFLOP/s a core).
  bool fast_bf16 = false;
  /// MKL, which libtorch multiplies fp32 matrices with, stays far below this processor's peak although its
  /// registers are 512 bits wide: AMD's. Zen 4, one thread, peak 115 GFLOP/s: MKL 85 to 99 (65 with
  /// 50257 columns), our own kernel (ops/gemm.h) 101 to 114.
  bool slow_mkl = false;
  std::string model;  // "model name" of /proc/cpuinfo
};

const CpuFeatures& cpu_features();

/// The processor and those of its features that matter here, on one line: what a benchmark prints beside its
/// figures.
std::string cpu_summary();

/// The best of `available` (sorted or not) that this processor runs and that DS_FORCE_ISA
/// (scalar|avx2|avx512|avx512_bf16|amx) allows.
Isa best_isa(const std::vector<Isa>& available);
const char* isa_name(Isa isa);

}  // namespace deepspeed::base
