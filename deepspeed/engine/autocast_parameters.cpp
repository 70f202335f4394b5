#include "deepspeed/engine/autocast_parameters.h"

#include <algorithm>
#include <set>

#include "deepspeed/base/error.h"
#include "deepspeed/config/convert.h"
#include "deepspeed/nn/block.h"

namespace deepspeed::engine {
namespace {

const std::vector<std::string> kDefaultClasses{"Linear", "Conv1d", "Conv2d", "Conv3d"};

// Classes that a list may name although this model has none of them.
const std::vector<std::string> kTorchClasses{"Linear",
                                             "Bilinear",
                                             "Conv1d",
                                             "Conv2d",
                                             "Conv3d",
                                             "ConvTranspose1d",
                                             "ConvTranspose2d",
                                             "ConvTranspose3d",
                                             "Embedding",
                                             "EmbeddingBag",
                                             "LayerNorm",
                                             "RMSNorm",
                                             "GroupNorm",
                                             "BatchNorm1d",
                                             "BatchNorm2d",
                                             "BatchNorm3d",
                                             "InstanceNorm1d",
                                             "InstanceNorm2d",
                                             "InstanceNorm3d",
                                             "LSTM",
                                             "GRU",
                                             "RNN",
                                             "MultiheadAttention",
                                             "Conv1D"};

// "torch.nn.Linear", "torch::nn::LinearImpl" and "deepspeed::nn::BlockedImpl<torch::nn::LinearImpl>" are
// "Linear".
std::string short_class(std::string name) {
  const std::string blocked = "BlockedImpl<";
  if (const size_t at = name.find(blocked); at != std::string::npos && name.ends_with('>'))
    name = name.substr(at + blocked.size(), name.size() - at - blocked.size() - 1);
  name = name.substr(0, name.find('<'));
  if (const size_t at = name.find_last_of(".:"); at != std::string::npos) name = name.substr(at + 1);
  if (name.size() > 4 && name.ends_with("Impl")) name.resize(name.size() - 4);
  return name;
}

std::vector<nn::TorchLayer> layers_of(const torch::nn::Module& model) {
  std::vector<nn::TorchLayer> layers;
  const auto add = [&](const torch::nn::Module& module) {
    const auto* block = dynamic_cast<const nn::Block*>(&module);
    auto own = block != nullptr ? block->torch_layers() : std::vector<nn::TorchLayer>();
    if (own.empty()) own.push_back({short_class(module.name()), module.parameters(/*recurse=*/false)});
    for (auto& layer : own) layers.push_back(std::move(layer));
  };
  add(model);
  for (const auto& module : model.modules(/*include_self=*/false)) add(*module);
  return layers;
}

}  // namespace

std::unordered_set<const void*> lower_precision_parameters(
    const torch::nn::Module& model, const std::optional<std::vector<std::string>>& classes) {
  const auto layers = layers_of(model);
  std::vector<std::string> known = kTorchClasses;
  for (const auto& layer : layers) known.push_back(layer.class_name);
  std::set<std::string> wanted;
  for (const std::string& given : classes.value_or(kDefaultClasses)) {
    const std::string name = short_class(given);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      const auto near = config::nearest_name(name, known);
      base::fail(
          "torch_autocast.lower_precision_safe_modules: neither the model nor torch.nn has a module class "
          "\"{}\"{}",
          given, near ? fmt::format("; did you mean \"{}\"?", *near) : "");
    }
    wanted.insert(name);
  }
  std::unordered_set<const void*> found;
  for (const auto& layer : layers)
    if (wanted.contains(layer.class_name))
      for (const auto& parameter : layer.parameters) found.insert(parameter.unsafeGetTensorImpl());
  return found;
}

}  // namespace deepspeed::engine
