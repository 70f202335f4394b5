#include "deepspeed/models/families.h"

#include "deepspeed/base/error.h"

namespace deepspeed::models {
namespace {

// "type" is how it was spelled first.
void refuse_scaling(const ConfigReader& rope, const char* key) {
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  DS_CHECK(type == "default", "{}: '{}' of type \"{}\" is not available yet (only default)", rope.where(),
           key, type);
}

}  // namespace

void read_rope(const ConfigReader& config, const RopeKeys& keys, ArchSpec& spec) {
  if (config.present("rope_scaling"))
    refuse_scaling(ConfigReader(config.at("rope_scaling"), config.where()), "rope_scaling");
  double partial = keys.partial == nullptr ? 1 : config.number(keys.partial, keys.default_partial);
  spec.rope_theta = config.number(keys.theta, 10000);
  if (config.present("rope_parameters")) {
    const ConfigReader rope(config.at("rope_parameters"), config.where());
    refuse_scaling(rope, "rope_parameters");
    spec.rope_theta = rope.number("rope_theta", spec.rope_theta);
    if (keys.partial != nullptr) partial = rope.number("partial_rotary_factor", partial);
  }
  spec.rotary_dim = static_cast<int64_t>(static_cast<double>(spec.head_dim) * partial);
}

nn::Activation activation_of(const ConfigReader& config, const char* key, const std::string& fallback) {
  const std::string name = config.text(key, fallback);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return nn::Activation::kGeluTanh;
  if (name == "gelu") return nn::Activation::kGeluErf;
  if (name == "relu") return nn::Activation::kRelu;
  base::fail("{}: '{}' = \"{}\" is not available yet (gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu)",
             config.where(), key, name);
}

}  // namespace deepspeed::models
