#include "deepspeed/ops/isa_table.h"

#include "deepspeed/base/error.h"

namespace deepspeed::ops {

const std::vector<OpIsas>& isa_table() {
  using enum base::Isa;
  // Pairs of bf16 are multiplied as such where that is faster than as fp32, and tiles are not faster still.
  static const bool pairs = base::cpu_features().fast_bf16 && !base::cpu_features().amx_bf16;
  static const base::Isa last = pairs ? kAvx512Bf16 : kAmx;
  static const std::vector<OpIsas> rows = {
      {"adam", {kScalar, kAvx2, kAvx512}},           {"adagrad", {kScalar, kAvx2, kAvx512}},
      {"lion", {kScalar, kAvx2, kAvx512}},           {"sum_squares", {kScalar, kAvx2, kAvx512}},
      {"layer_norm", {kScalar, kAvx2, kAvx512}},     {"rms_norm", {kScalar, kAvx2, kAvx512}},
      {"gelu", {kScalar, kAvx2, kAvx512}},           {"swiglu", {kScalar, kAvx2, kAvx512}},
      {"dropout", {kScalar, kAvx2, kAvx512}},        {"rotary", {kScalar, kAvx2, kAvx512}},
      {"attention", {kScalar, kAvx2, kAvx512}},      {"linear_cross_entropy", {kScalar, kAvx2, kAvx512}},
      {"block_quantize", {kScalar, kAvx2, kAvx512}}, {"bf16_product", {kScalar, kAmx}},
      {"gemm", {kScalar, kAvx512, kAvx512Bf16}},     {"packed_linear", {kScalar, kAvx2, kAvx512, last}},
  };
  return rows;
}

const std::vector<base::Isa>& isas_of(std::string_view op) {
  for (const OpIsas& row : isa_table())
    if (row.op == op) return row.isas;
  base::fail("op '{}' has no row in deepspeed/ops/isa_table.cpp; add one", op);
}

base::Isa chosen_isa(std::string_view op) { return base::best_isa(isas_of(op)); }

}  // namespace deepspeed::ops
