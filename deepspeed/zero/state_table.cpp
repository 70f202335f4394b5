#include "deepspeed/zero/state_table.h"

#include "deepspeed/base/error.h"

namespace deepspeed::zero {

StateTable state_table(const ZeroConfig& config) {
  DS_CHECK(config.stage >= 0 && config.stage <= 3, "zero_optimization.stage {} is not 0, 1, 2 or 3",
           config.stage);
  return {.parameter = {.sharded = config.stage >= 3},
          .gradient = {.sharded = config.stage >= 2},
          .optimizer = {.sharded = config.stage >= 1}};
}

}  // namespace deepspeed::zero
