// The engine's model as others read it: whole, under its own names.
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "deepspeed/base/log.h"
#include "deepspeed/comm/together.h"
#include "deepspeed/engine/engine.h"
#include "deepspeed/formats/safetensors.h"
#include "deepspeed/models/weights.h"

namespace deepspeed::engine {
namespace {

// Parameters and buffers in the order in which they are exported.
std::vector<zero::NamedParameter> tensors_of(const ModelStates& states) {
  std::vector<zero::NamedParameter> all;
  const auto add = [&](const std::vector<zero::NamedParameter>& tensors) {
    all.insert(all.end(), tensors.begin(), tensors.end());
  };
  for (const auto& group : states.all()) add(group->parameters());
  if (const auto* frozen = states.frozen()) add(frozen->parameters());
  add(states.whole());
  return all;
}

}  // namespace

void Engine::with_whole_values(const std::string& what, const std::function<void(const WholeValues&)>& use) {
  comm::together(*parts_.group, what, [this] { home_->check(); });
  engine::with_whole_values(*states_, *parts_.group, what, use);
}

bool Engine::save_16bit_model(const std::filesystem::path& folder, const std::string& file) {
  if (states_->table().parameter.sharded && !config().zero.stage3.gather_16bit_weights_on_model_save) {
    if (parts_.group->rank() == 0)
      base::log_warning(
          "save_16bit_model wrote nothing: at stage 3 it needs "
          "\"stage3_gather_16bit_weights_on_model_save\": "
          "true");
    return false;
  }
  with_whole_values("save_16bit_model", [&](const WholeValues& values) {
    std::vector<formats::TensorView> views;
    for (const auto& [name, tensor] : tensors_of(*states_))
      views.push_back({.name = name,
                       .dtype = models::file_dtype(tensor.scalar_type()),
                       .shape = tensor.sizes().vec(),
                       .data = {},
                       .read = [&values, tensor = tensor](std::span<std::byte> out) {
                         if (out.empty()) return;
                         at::from_blob(out.data(), tensor.sizes(), at::TensorOptions(tensor.scalar_type()))
                             .copy_(values(tensor));
                       }});
    std::filesystem::create_directories(folder);
    formats::write_safetensors(folder / file, views, {{"format", "pt"}});
  });
  return true;
}

std::vector<zero::NamedParameter> Engine::module_state_dict() {
  std::vector<zero::NamedParameter> copies;
  with_whole_values("module_state_dict", [&](const WholeValues& values) {
    for (const auto& [name, tensor] : tensors_of(*states_)) {
      const at::Tensor whole = values(tensor);
      const bool own = !whole.is_alias_of(tensor) && whole.is_contiguous();
      copies.push_back({name, whole.to(at::kCPU, whole.scalar_type(), /*non_blocking=*/false, /*copy=*/!own,
                                       at::MemoryFormat::Contiguous)});
    }
  });
  return copies;
}

}  // namespace deepspeed::engine
