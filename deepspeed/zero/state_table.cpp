#include "deepspeed/zero/state_table.h"

#include "deepspeed/base/error.h"

namespace deepspeed::zero {

StateTable state_table(const ZeroConfig& config) {
  DS_CHECK(config.stage >= 0 && config.stage <= 3, "zero_optimization.stage {} is not 0, 1, 2 or 3",
           config.stage);
  const bool shards_parameters = config.stage >= 3;
  return {.parameter = {.sharded = shards_parameters,
                        .home = shards_parameters ? config.offload_param.device : Home::kDevice},
          .gradient = {.sharded = config.stage >= 2},
          .optimizer = {.sharded = config.stage >= 1, .home = config.offload_optimizer.device}};
}

}  // namespace deepspeed::zero
