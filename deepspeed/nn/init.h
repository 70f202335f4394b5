// Initialisation rules, and filling any slice of a parameter from its counter-based stream: the bits of an
// element depend on (seed, parameter name, element index) alone, never on who computes it or how many ranks
// there are.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/accel/rng.h"

namespace deepspeed::nn {

struct Init {
  enum class Kind { kConstant, kNormal, kUniform };
  Kind kind = Kind::kConstant;
  double a = 0;  // constant: the value; normal: mean; uniform: low
  double b = 0;  // normal: standard deviation; uniform: high
  int64_t zeros_begin = 0,
          zeros_end = 0;  // these elements are 0 whatever the rule (an embedding's padding row)

  static Init zeros() { return {}; }
  static Init ones() { return {Kind::kConstant, 1, 0}; }
  static Init normal(double std, double mean = 0) { return {Kind::kNormal, mean, std}; }
  Init with_zeros(int64_t begin, int64_t end) const {
    Init init = *this;
    init.zeros_begin = begin;
    init.zeros_end = end;
    return init;
  }
  static Init uniform(double low, double high) { return {Kind::kUniform, low, high}; }
};

/// Writes elements [begin, begin + slice.numel()) of the parameter that `key` names into `slice` (1-D,
/// contiguous, CPU, any floating dtype: values are made in fp32 and rounded once).
void fill_init(const Init& init, accel::RngKey key, int64_t begin, at::Tensor slice);

}  // namespace deepspeed::nn
