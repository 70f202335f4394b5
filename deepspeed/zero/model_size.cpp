#include "deepspeed/zero/model_size.h"

#include <algorithm>
#include <set>

namespace deepspeed::zero {

ModelSize model_size(const torch::nn::Module& model) {
  ModelSize size;
  std::set<const c10::TensorImpl*> counted;
  for (const auto& module : model.modules(/*include_self=*/true)) {
    int64_t layer = 0;
    for (const auto& parameter : module->parameters(/*recurse=*/false)) {
      layer += parameter.numel();
      if (counted.insert(parameter.unsafeGetTensorImpl()).second) size.total_params += parameter.numel();
    }
    size.largest_layer_params = std::max(size.largest_layer_params, layer);
  }
  return size;
}

}  // namespace deepspeed::zero
