#include "deepspeed/zero/memory_estimate.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

constexpr int64_t kMostParams = int64_t{1} << 50;  // products with all factors below stay whole numbers
constexpr int kMostDevices = 1 << 20;

void check(const ModelSize& model, const EstimateOptions& options) {
  DS_CHECK(model.total_params >= 0 && model.total_params <= kMostParams,
           "a model has 0 to {} parameters, not {}", kMostParams, model.total_params);
  DS_CHECK(model.largest_layer_params >= 0 && model.largest_layer_params <= model.total_params,
           "the largest layer of {} parameters has 0 to all of them, not {}", model.total_params,
           model.largest_layer_params);
  DS_CHECK(options.num_gpus_per_node >= 1 && options.num_gpus_per_node <= kMostDevices &&
               options.num_nodes >= 1 && options.num_nodes <= kMostDevices,
           "{} GPUs on each of {} nodes: give 1 to {} of either", options.num_gpus_per_node,
           options.num_nodes, kMostDevices);
  DS_CHECK(options.additional_buffer_factor >= 0 && options.additional_buffer_factor <= 1e6,
           "the buffer factor is 0 to 1e6, not {}", options.additional_buffer_factor);
}

double total_gpus(const EstimateOptions& options) {
  return static_cast<double>(options.num_nodes) * options.num_gpus_per_node;
}

std::string gigabytes(const MemoryNeeds& needs) {
  constexpr double kGiB = 1 << 30;
  return fmt::format(" {:7.2f}GB | {:6.2f}GB | ", static_cast<double>(needs.cpu) / kGiB,
                     static_cast<double>(needs.gpu) / kGiB);
}

int64_t millions(int64_t count) { return static_cast<int64_t>(static_cast<double>(count) / 1e6); }

std::string heading(const EstimateOptions& options, const std::string& model) {
  return fmt::format(
      "Estimated memory needed for params, optim states and gradients for a:\n"
      "HW: Setup with {} {}, {} {} per node.\nSW: Model with {}.\n  per CPU  |  per GPU |   Options\n",
      options.num_nodes, options.num_nodes > 1 ? "nodes" : "node", options.num_gpus_per_node,
      options.num_gpus_per_node > 1 ? "GPUs" : "GPU", model);
}

const char* device(bool offloaded) { return offloaded ? "cpu " : "none"; }

}  // namespace

MemoryNeeds estimate_zero2_model_states_mem_needs(int64_t total_params, const EstimateOptions& options,
                                                  bool cpu_offload) {
  check({.total_params = total_params}, options);
  const auto params = static_cast<double>(total_params);
  const double factor = options.additional_buffer_factor, gpus = total_gpus(options);
  if (cpu_offload)
    return {.cpu = static_cast<int64_t>(params * std::max(4 * gpus, 16.0) * factor), .gpu = 2 * total_params};
  return {.cpu = static_cast<int64_t>(params * 4 * options.num_gpus_per_node * factor),
          .gpu = 2 * total_params + static_cast<int64_t>(18 * params / gpus)};
}

MemoryNeeds estimate_zero3_model_states_mem_needs(const ModelSize& model, const EstimateOptions& options,
                                                  const Zero3Options& placement) {
  check(model, options);
  const auto params = static_cast<double>(model.total_params);
  const double factor = options.additional_buffer_factor, share = 1.0 / options.num_nodes,
               copies =
                   4.0 * options.num_gpus_per_node;  // each process holds an fp32 model while it is built
  const int64_t layer = 4 * model.largest_layer_params;
  if (!placement.cpu_offload) {
    const auto built =
        static_cast<double>(placement.zero_init ? model.largest_layer_params : model.total_params);
    return {.cpu = static_cast<int64_t>(built * copies * factor),
            .gpu = layer + static_cast<int64_t>(18 * params / total_gpus(options))};
  }
  const int bytes = placement.cpu_offload_params ? 18 : 16;
  const double cpu = placement.zero_init ? params * bytes * share * factor
                                         : params * std::max(copies, bytes * share) * factor;
  const int64_t shard =
      placement.cpu_offload_params ? 0 : static_cast<int64_t>(2 * params / total_gpus(options));
  return {.cpu = static_cast<int64_t>(cpu), .gpu = layer + shard};
}

std::string estimate_zero2_model_states_mem_needs_all_cold(int64_t total_params,
                                                           const EstimateOptions& options) {
  std::string out = heading(options, fmt::format("{}M total params", millions(total_params)));
  for (const bool offload : {true, false})
    out += fmt::format("{}offload_optimizer={}\n",
                       gigabytes(estimate_zero2_model_states_mem_needs(total_params, options, offload)),
                       device(offload));
  return out;
}

std::string estimate_zero3_model_states_mem_needs_all_cold(const ModelSize& model,
                                                           const EstimateOptions& options) {
  std::string out =
      heading(options, fmt::format("{}M total params, {}M largest layer params", millions(model.total_params),
                                   millions(model.largest_layer_params)));
  constexpr std::array<std::array<bool, 2>, 3> kPlaces = {{{true, true}, {true, false}, {false, false}}};
  for (const auto& [optimizer, params] : kPlaces)
    for (const bool zero_init : {true, false})
      out +=
          fmt::format("{}offload_param={}, offload_optimizer={}, zero_init={}\n",
                      gigabytes(estimate_zero3_model_states_mem_needs(
                          model, options,
                          {.cpu_offload = optimizer, .cpu_offload_params = params, .zero_init = zero_init})),
                      device(params), device(optimizer), zero_init ? 1 : 0);
  return out;
}

}  // namespace deepspeed::zero
