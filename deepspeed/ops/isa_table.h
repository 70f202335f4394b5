// Which instruction sets each op has a kernel for. Kernels dispatch by this table and ds_report prints it, so
// that the two cannot disagree. Torch-free.
#pragma once

#include <string_view>
#include <vector>

#include "deepspeed/base/cpu_features.h"

namespace deepspeed::ops {

/// One op and the instruction sets its CPU kernels are written for; every op has kScalar.
struct OpIsas {
  std::string_view op;
  std::vector<base::Isa> isas;
};

/// All rows, in the order in which ds_report prints them.
const std::vector<OpIsas>& isa_table();

/// The row's instruction sets; an Error when no op has that name.
const std::vector<base::Isa>& isas_of(std::string_view op);

/// The instruction set a kernel runs with here: base::best_isa(isas_of(op)). Keep the answer rather than ask
/// per call.
base::Isa chosen_isa(std::string_view op);

}  // namespace deepspeed::ops
