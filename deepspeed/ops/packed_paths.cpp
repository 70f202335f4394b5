#include "deepspeed/ops/packed_paths.h"

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/isa_table.h"

namespace deepspeed::ops {
namespace {

bool has_vbmi() { return base::cpu_features().avx512_vnni && __builtin_cpu_supports("avx512vbmi"); }

const cpu::PackedKernels& rows_kernels(base::Isa isa) {
  if (isa >= base::Isa::kAvx512) {
    if (has_vbmi()) return cpu::kPackedAvx512Vbmi;
    return base::cpu_features().avx512_vnni ? cpu::kPackedAvx512Vnni : cpu::kPackedAvx512;
  }
  return isa >= base::Isa::kAvx2 ? cpu::kPackedAvx2 : cpu::kPackedScalar;
}

bool fits_int8_tiles(const PackedFormat& f) {
  return f.scheme == PackedScheme::kInt8Dynamic && f.group % cpu::kPadIn == 0 &&
         base::cpu_features().amx_int8;
}

// From how many rows on tiles are faster.
int64_t least_rows_for_tiles(PackedScheme scheme) {
  switch (scheme) {
    case PackedScheme::kBf16:
      return 5;
    case PackedScheme::kInt8Dynamic:
      return 9;
    default:
      return 9;
  }
}

}  // namespace

PackedPath packed_path(const PackedFormat& f, int64_t rows) {
  static const base::Isa isa = chosen_isa("packed_linear");
  static const cpu::PackedKernels& kernels = rows_kernels(isa);
  if (f.scheme == PackedScheme::kBf16 && isa == base::Isa::kAvx512Bf16)
    return {"bf16 pairs", &kernels, PackedPath::kBf16Pairs};
  if (isa < base::Isa::kAmx || f.scheme == PackedScheme::kFp32 || rows < least_rows_for_tiles(f.scheme))
    return {"rows", &kernels, PackedPath::kRows};
  if (f.scheme == PackedScheme::kInt8Dynamic)
    return {"int8 tiles", &kernels, fits_int8_tiles(f) ? PackedPath::kInt8Tiles : PackedPath::kRows};
  return {"bf16 tiles", &kernels, PackedPath::kBf16Tiles};
}

std::vector<PackedPath> packed_paths(const PackedFormat& f) {
  const base::CpuFeatures& cpu = base::cpu_features();
  std::vector<PackedPath> all = {{"scalar", &cpu::kPackedScalar, PackedPath::kRows}};
  if (cpu.avx2) all.push_back({"avx2", &cpu::kPackedAvx2, PackedPath::kRows});
  if (cpu.avx512) all.push_back({"avx512", &cpu::kPackedAvx512, PackedPath::kRows});
  if (cpu.avx512_vnni) all.push_back({"avx512vnni", &cpu::kPackedAvx512Vnni, PackedPath::kRows});
  if (has_vbmi()) all.push_back({"avx512vbmi", &cpu::kPackedAvx512Vbmi, PackedPath::kRows});
  if (cpu.avx512_bf16 && f.scheme == PackedScheme::kBf16)
    all.push_back({"bf16 pairs", &rows_kernels(base::Isa::kAvx512), PackedPath::kBf16Pairs});
  if (fits_int8_tiles(f))
    all.push_back({"int8 tiles", &rows_kernels(base::Isa::kAmx), PackedPath::kInt8Tiles});
  if (cpu.amx_bf16 && cpu.avx512_bf16 && f.scheme != PackedScheme::kFp32 &&
      f.scheme != PackedScheme::kInt8Dynamic)
    all.push_back({"bf16 tiles", &rows_kernels(base::Isa::kAmx), PackedPath::kBf16Tiles});
  return all;
}

}  // namespace deepspeed::ops
