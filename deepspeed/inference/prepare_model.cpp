#include "deepspeed/inference/prepare_model.h"

#include "deepspeed/base/error.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {
namespace {

at::ScalarType scalar_type_of(WeightType type) {
  switch (type) {
    case WeightType::kFp16:
      return at::kHalf;
    case WeightType::kBf16:
      return at::kBFloat16;
    case WeightType::kInt8:
      base::fail("not available yet: weights of dtype int8 (use fp32, bf16 or fp16)");
    case WeightType::kFp32:
      break;
  }
  return at::kFloat;
}

}  // namespace

void prepare_model(torch::nn::Module& model, const models::WeightSource& weights,
                   const InferenceConfig& config) {
  const auto& parallel = config.tensor_parallel;
  DS_CHECK(!parallel.enabled || parallel.tp_size == 1,
           "not available yet: tensor parallelism (tensor_parallel.tp_size = {})", parallel.tp_size);
  auto parameters = nn::list_parameters(model);
  for (auto& parameter : parameters) parameter.dtype = scalar_type_of(config.dtype);
  nn::DenseMaterializer().materialize(parameters, weights);
  for (auto& parameter : model.parameters()) parameter.set_requires_grad(false);
  model.eval();
}

}  // namespace deepspeed::inference
