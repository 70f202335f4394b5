#include "deepspeed/zero/state_table.h"

#include "deepspeed/base/error.h"

namespace deepspeed::zero {

StateTable state_table(const ZeroConfig& config) {
  DS_CHECK(config.stage >= 0 && config.stage <= 2,
           "zero_optimization.stage {} is not available yet (0, 1 and 2 are)", config.stage);
  return {.parameter = {.sharded = config.stage >= 3},
          .gradient = {.sharded = config.stage >= 2},
          .optimizer = {.sharded = config.stage >= 1}};
}

}  // namespace deepspeed::zero
