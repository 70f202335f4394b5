#include "deepspeed/engine/initialize.h"

#include <ATen/ops/tensor.h>

#include "deepspeed/accel/rng.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/comm/rendezvous.h"
#include "deepspeed/engine/accelerator.h"
#include "deepspeed/engine/parse_config.h"

namespace deepspeed::engine {

namespace {

// Ranks that obey different files would wait for each other's collectives for ever.
void check_same_on_all_ranks(const DeepspeedConfig& config, comm::Group& group) {
  const auto hash = static_cast<int64_t>(accel::hash_name(config.raw.dump()) >> 1);
  at::Tensor extremes = at::tensor({hash, -hash}, at::kLong);
  group.all_reduce(extremes, comm::ReduceOp::kMax);
  DS_CHECK(
      extremes[0].item<int64_t>() == -extremes[1].item<int64_t>(),
      "the ranks were given different configurations: start all of them with the same --deepspeed_config");
}

}  // namespace

Initialized initialize(InitializeOptions options) {
  if (!options.group) options.group = accelerated_world(comm::rendezvous_from_env());
  DeepspeedConfig config = parse_config(options.config, options.group->size(), options.auto_facts);
  check_same_on_all_ranks(config, *options.group);
  if (config.engine.log_level) base::set_log_level(base::parse_log_level(*config.engine.log_level));
  if (options.group->rank() == 0)
    for (const auto& warning : config.warnings) base::log_warning("{}", warning);

  Initialized ready;
  const int64_t micro_batch = config.engine.train_micro_batch_size_per_gpu;
  const bool drop_last = config.engine.dataloader_drop_last;
  const int rank = options.group->rank(), world = options.group->size();
  ready.engine = std::make_unique<Engine>(EngineParts{.model = std::move(options.model),
                                                      .config = std::move(config),
                                                      .group = std::move(options.group),
                                                      .rng = std::move(options.rng),
                                                      .groups = std::move(options.parameter_groups),
                                                      .optimizer = std::move(options.optimizer),
                                                      .scheduler = std::move(options.lr_scheduler),
                                                      .values = std::move(options.values),
                                                      .same_on_all_ranks = options.same_on_all_ranks,
                                                      .print = std::move(options.print)});
  ready.optimizer = &ready.engine->optimizer();
  ready.lr_scheduler = ready.engine->lr_scheduler();
  if (options.training_data)
    ready.loader = std::make_unique<data::Loader>(options.training_data,
                                                  data::Sampler::Options{.micro_batch = micro_batch,
                                                                         .rank = rank,
                                                                         .world_size = world,
                                                                         .shuffle = options.shuffle,
                                                                         .seed = options.seed,
                                                                         .drop_last = drop_last},
                                                  options.data_workers);
  return ready;
}

}  // namespace deepspeed::engine
