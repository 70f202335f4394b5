#include "deepspeed/models/families.h"

#include "deepspeed/base/error.h"

namespace deepspeed::models {

int64_t head_dim_of(const ConfigReader& config, const ArchSpec& spec) {
  DS_CHECK(spec.hidden % spec.heads == 0, "{}: the hidden size {} is not a multiple of the {} heads",
           config.where(), spec.hidden, spec.heads);
  return spec.hidden / spec.heads;
}

nn::Activation activation_of(const ConfigReader& config, const char* key, const std::string& fallback) {
  const std::string name = config.text(key, fallback);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return nn::Activation::kGeluTanh;
  if (name == "gelu") return nn::Activation::kGeluErf;
  if (name == "relu") return nn::Activation::kRelu;
  base::fail("{}: '{}' = \"{}\" is not available yet (gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu)",
             config.where(), key, formats::shown(name));
}

std::optional<std::vector<int64_t>> windows_by_type(const ConfigReader& config, int64_t layers,
                                                    int64_t window) {
  if (!config.present("layer_types")) return std::nullopt;
  const auto& types = config.at("layer_types");
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  DS_CHECK(types.is_array() && types.size() == windows.size(), "{}: 'layer_types' must name {} layers",
           config.where(), layers);
  for (size_t i = 0; i < windows.size(); ++i) {
    const bool sliding = types[i] == "sliding_attention";
    DS_CHECK(sliding || types[i] == "full_attention",
             "{}: 'layer_types' names {}, which is not available yet (full_attention, sliding_attention)",
             config.where(), shown(types[i]));
    windows[i] = sliding ? window : 0;
  }
  return windows;
}

}  // namespace deepspeed::models
