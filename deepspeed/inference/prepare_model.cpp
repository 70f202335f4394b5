#include "deepspeed/inference/prepare_model.h"

#include <memory>
#include <optional>
#include <string>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/error.h"
#include "deepspeed/inference/weight_loader.h"
#include "deepspeed/models/packed_model.h"
#include "deepspeed/nn/fp8_projection.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/tensor_parallel/projections.h"
#include "deepspeed/tensor_parallel/shard.h"

namespace deepspeed::inference {
namespace {

// What is not quantized then: norms, embeddings, and what goes from layer to layer.
at::ScalarType beside_int8(at::Device device) {
  return !device.is_cpu() || base::cpu_features().fast_bf16 ? at::kBFloat16 : at::kFloat;
}

at::ScalarType scalar_type_of(WeightType type, at::Device device) {
  switch (type) {
    case WeightType::kFp16:
      return at::kHalf;
    case WeightType::kBf16:
    case WeightType::kFp8:
      return at::kBFloat16;
    case WeightType::kInt8:
      return beside_int8(device);
    case WeightType::kFp32:
      break;
  }
  return at::kFloat;
}

ops::PackOptions quantized_by(const QuantConfig& quant) {
  DS_CHECK(quant.enabled && quant.weight.enabled,
           "dtype int8 quantizes weights, which quant.enabled and quant.weight.enabled must not forbid");
  DS_CHECK(quant.activation.q_type == QuantType::kSymmetric,
           "not available yet: quant.activation.q_type asymmetric (use symmetric)");
  DS_CHECK(quant.activation.q_groups == 1,
           "not available yet: quant.activation.q_groups = {} (a token has as many scales as a row of the "
           "weights that it is multiplied by; use 1)",
           quant.activation.q_groups);
  ops::PackOptions out{.asymmetric = quant.weight.q_type == QuantType::kAsymmetric,
                       .least_scales = quant.weight.q_groups};
  const auto as = [&](ops::PackedScheme scheme) {
    out.scheme = scheme;
    return out;
  };
  switch (quant.weight.num_bits) {
    case 8:
      break;
    case 6:
      DS_CHECK(
          !out.asymmetric,
          "quant.weight: 6 bits are floating-point numbers, which lie around zero (use q_type symmetric)");
      return as(ops::PackedScheme::kFp6);
    case 4:
      return as(ops::PackedScheme::kInt4);
    default:
      base::fail("not available yet: quant.weight.num_bits = {} (4, 6 and 8 are)", quant.weight.num_bits);
  }
  if (!quant.activation.enabled || quant.activation.num_bits == 16) return as(ops::PackedScheme::kInt8);
  DS_CHECK(quant.activation.num_bits == 8, "not available yet: quant.activation.num_bits = {} (8 and 16 are)",
           quant.activation.num_bits);
  return as(ops::PackedScheme::kInt8Dynamic);
}

// How the model's matrices are packed; nothing: they stay dense.
std::optional<models::PackModelOptions> packing(const InferenceConfig& config, at::Device device) {
  models::PackModelOptions out;
  out.linears.device = device;
  if (config.dtype == WeightType::kInt8) {
    out.linears.weights = quantized_by(config.quant);
    if (!config.quant.qkv)
      out.linears.keep = [](const std::string& name) {
        return name.ends_with("attention.qkv") || name.ends_with("attention.query") ||
               name.ends_with("attention.key") || name.ends_with("attention.value");
      };
    // The head decides between tokens that are close: 8 bits of weights, whatever the layers have.
    out.head = ops::PackOptions{.scheme = ops::PackedScheme::kInt8};
    return out;
  }
  if (!config.replace_with_kernel_inject) return std::nullopt;
  // Nothing multiplies fp16 faster here than libtorch does; fp8 has products of its own.
  if (config.dtype == WeightType::kFp16 || config.dtype == WeightType::kFp8) return std::nullopt;
  out.linears.weights.scheme =
      config.dtype == WeightType::kFp32 ? ops::PackedScheme::kFp32 : ops::PackedScheme::kBf16;
  out.head = out.linears.weights;
  return out;
}

// Those whose products ranks sum: models::pack_model leaves them. Returns the packed bytes.
int64_t pack_row_parallel(torch::nn::Module& model, const nn::PackLinearsOptions& options) {
  int64_t bytes = 0;
  for (const auto& [name, block] : nn::blocks_of(model)) {
    auto* linear = dynamic_cast<nn::Linear*>(block);
    if (linear == nullptr || linear->projection().kind() != "row-parallel dense") continue;
    if (options.keep && options.keep(name)) continue;
    const auto& dense = dynamic_cast<const nn::DenseProjection&>(tensor_parallel::multiplication_of(*linear));
    const auto order = dense.torch_class() == "Conv1D" ? ops::WeightOrder::kInOut : ops::WeightOrder::kOutIn;
    auto packed = ops::PackedWeight::pack(dense.weight(), options.weights, order);
    bytes += packed.bytes();
    tensor_parallel::replace_multiplication(*linear,
                                            std::make_unique<nn::PackedProjection>(std::move(packed)));
  }
  return bytes;
}

// What is packed is read as it is packed, the rest then gets its memory; returns the packed bytes.
int64_t pack_from(const nn::ParameterSource& source, torch::nn::Module& model, const WeightForm& form) {
  if (!form.packed) return 0;
  models::PackModelOptions options = *form.packed;
  options.linears.source = &source;
  options.embedding_type = form.type;
  return models::pack_model(model, options).packed_bytes;
}

// Linear layers in e4m3, read one by one, but for what decides between tokens or experts that are close: the
// vocabulary head, routers. Returns their bytes.
int64_t round_to_fp8(torch::nn::Module& model, const WeightLoader& loader) {
  int64_t bytes = 0;
  for (const auto& [name, block] : nn::blocks_of(model)) {
    auto* linear = dynamic_cast<nn::Linear*>(block);
    if (linear == nullptr || linear->projection().kind() != "dense" || name.ends_with("router")) continue;
    const auto& dense = dynamic_cast<const nn::DenseProjection&>(linear->projection());
    if (!ops::Fp8Weight::fits(dense.weight().size(0), dense.weight().size(1))) continue;
    for (const at::Tensor& parameter : linear->parameters(/*recurse=*/false)) loader.load(parameter);
    const auto parameters = linear->named_parameters(/*recurse=*/false);
    const at::Tensor* bias = parameters.find("bias");
    auto rounded =
        ops::Fp8Weight::round(dense.torch_class() == "Conv1D" ? dense.weight().t() : dense.weight(),
                              bias ? std::optional(*bias) : std::nullopt);
    bytes += rounded.bytes();
    linear->set_projection(std::make_unique<nn::Fp8Projection>(std::move(rounded)));
  }
  return bytes;
}

// All weights in memory; returns the bytes that they take beside the model's parameters.
int64_t hold(torch::nn::Module& model, const ModelSource& source, const WeightForm& form) {
  int64_t bytes = 0;
  if (source.quantized) bytes += source.quantized->install(model, {.device = form.device}).packed_bytes;
  source.weights->check(nn::list_parameters(model));
  bytes += pack_from(*source.weights, model, form);
  const WeightLoader loader(model, *source.weights, form.type, form.device);
  if (form.fp8) bytes += round_to_fp8(model, loader);
  for (const at::Tensor& parameter : model.parameters()) loader.load(parameter);
  return bytes;
}

void check_device(const InferenceConfig& config, const comm::GroupPtr& group, at::Device device) {
  DS_CHECK(config.dtype != WeightType::kFp8 || ops::Fp8Weight::available(device),
           "dtype fp8: {} does not multiply e4m3; a GPU of compute capability 8.9 or later does (use int8)",
           device.str());
  if (device.is_cpu()) return;
  DS_CHECK(!group, "not available yet: tensor_parallel.tp_size = {} on GPUs (DS_ACCELERATOR=cpu is)",
           group->size());
  DS_CHECK(!config.streams(),
           "not available yet: zero.offload_param.device nvme on a GPU (DS_ACCELERATOR=cpu is)");
}

// This rank's slices of them.
int64_t hold_slices(torch::nn::Module& model, const ModelSource& source, WeightForm form,
                    const comm::GroupPtr& group, int64_t grain) {
  DS_CHECK(!source.quantized, "not available yet: weights stored quantized with tensor_parallel.tp_size = {}",
           group->size());
  source.weights->check(nn::list_parameters(model));
  const auto sharding = tensor_parallel::shard(model, source.spec, group, {.grain = grain});
  const tensor_parallel::SliceSource slices(*source.weights, sharding);
  if (form.packed) form.packed->head.reset();  // its rows are joined over the ranks
  const int64_t bytes = pack_from(slices, model, form);
  const WeightLoader loader(model, slices, form.type);
  for (const at::Tensor& parameter : model.parameters()) loader.load(parameter);
  return bytes + (form.packed ? pack_row_parallel(model, form.packed->linears) : 0);
}

}  // namespace

PreparedModel prepare_model(torch::nn::Module& model, const ModelSource& source,
                            const InferenceConfig& config, const comm::GroupPtr& group, at::Device device) {
  check_device(config, group, device);
  const WeightForm form{.type = scalar_type_of(config.dtype, device),
                        .packed = packing(config, device),
                        .fp8 = config.dtype == WeightType::kFp8,
                        .device = device};
  PreparedModel prepared;
  if (config.streams()) {
    DS_CHECK(!group, "not available yet: zero.offload_param.device nvme with tensor_parallel.tp_size = {}",
             group->size());
    prepared.streamed = std::make_unique<StreamedModel>(model, source, form, config.zero);
    prepared.bytes = prepared.streamed->bytes_in_memory();
  } else {
    prepared.bytes = group ? hold_slices(model, source, form, group, config.tensor_parallel.tp_grain_size)
                           : hold(model, source, form);
    for (const auto& parameter : model.parameters())
      prepared.bytes += static_cast<int64_t>(parameter.nbytes());
  }
  for (auto& parameter : model.parameters()) parameter.set_requires_grad(false);
  model.eval();
  return prepared;
}

}  // namespace deepspeed::inference
