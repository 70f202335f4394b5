#include "deepspeed/engine/model_states.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <unordered_map>

#include "deepspeed/accel/dtype.h"
#include "deepspeed/base/error.h"
#include "deepspeed/engine/autocast_parameters.h"
#include "deepspeed/engine/name_pattern.h"

namespace deepspeed::engine {
namespace {

bool is_sharded(const DeepspeedConfig& config) { return zero::state_table(config.zero).parameter.sharded; }

// A tensor without memory keeps none.
void cast_tensor(at::Tensor tensor, at::ScalarType dtype) {
  if (!tensor.is_floating_point() || tensor.scalar_type() == dtype) return;
  if (nn::is_materialized(tensor)) return tensor.set_data(tensor.detach().to(dtype));
  at::Tensor empty = at::empty({0}, tensor.options().dtype(dtype).requires_grad(false));
  empty.unsafeGetTensorImpl()->set_sizes_contiguous(tensor.sizes());
  tensor.set_data(empty);
}

}  // namespace

struct ModelStates::Members {
  std::vector<zero::NamedParameter> trained, frozen;
};

ModelStates::ModelStates(const ModelStatesParts& parts)
    : parts_(parts), groups_(zero::make_zero_groups(parts.config.zero, parts.group)) {
  at::NoGradGuard no_grad;
  cast();
  give_memory();
  place();
  if (!parts_.same_on_all_ranks) agree();
  Members members = sort_tensors();
  DS_CHECK(!members.trained.empty(), "the model has no trainable parameter");
  shard_frozen(std::move(members.frozen));
  add_groups(std::move(members));
  specs_.clear();

  std::vector<zero::ParameterShards*> shards;
  for (const auto& states : states_)
    if (states->shards() != nullptr) shards.push_back(states->shards());
  if (frozen_) shards.push_back(frozen_.get());
  fetcher_ = std::make_unique<zero::ParameterFetcher>(parts_.model, shards, parts_.config.zero.stage3,
                                                      *parts_.group);
}

// Parameters take the configured format. In 16 bits buffers take data_types.buffer_dtype, if there is one,
// but for those that keep_in_fp32_modules names (DeepSpeed's _cast_module_mixed_precision and
// runtime/keep_in_fp32.py).
void ModelStates::cast() {
  const at::ScalarType dtype = accel::scalar_type(parts_.config.model_dtype());
  for (const auto& parameter : parts_.model.parameters()) cast_tensor(parameter, dtype);
  if (dtype == at::kFloat) return;
  const auto& formats = parts_.config.engine;
  const std::regex kept = name_pattern(formats.keep_in_fp32_modules.value_or(std::vector<std::string>()));
  for (const auto& buffer : parts_.model.named_buffers())
    if (std::regex_search(buffer.key(), kept))
      cast_tensor(buffer.value(), at::kFloat);
    else if (formats.buffer_dtype)
      cast_tensor(buffer.value(), accel::scalar_type(*formats.buffer_dtype));
}

// Sharded parameters are filled part by part as they are sharded (fill_of).
void ModelStates::give_memory() {
  for (auto& spec : nn::list_parameters(parts_.model)) {
    if (nn::is_materialized(spec.tensor)) continue;
    DS_CHECK(parts_.values != nullptr,
             "parameter '{}' has no memory: materialize the model (nn/materializer.h), or give its values",
             spec.name);
    specs_.push_back(std::move(spec));
  }
  if (specs_.empty() || is_sharded(parts_.config)) return;
  nn::DenseMaterializer().materialize(specs_, *parts_.values);
}

// What has memory moves to where the group computes; sharded parameters get theirs there (ParameterShards).
void ModelStates::place() {
  const at::Device device = parts_.group->device();
  const auto move = [device](at::Tensor tensor) {
    if (tensor.device() != device && nn::is_materialized(tensor)) tensor.set_data(tensor.detach().to(device));
  };
  for (const auto& parameter : parts_.model.parameters()) move(parameter);
  for (const auto& buffer : parts_.model.buffers()) move(buffer);
}

void ModelStates::agree() {
  const auto broadcast = [this](const at::Tensor& tensor) {
    if (tensor.numel() == 0 || !nn::is_materialized(tensor)) return;
    const at::Tensor values = tensor.detach(), flat = values.contiguous();
    parts_.group->broadcast(flat, /*root=*/0);
    if (!flat.is_same(values)) values.copy_(flat);
  };
  for (const auto& parameter : parts_.model.parameters()) broadcast(parameter);
  for (const auto& buffer : parts_.model.buffers()) broadcast(buffer);
}

ModelStates::Members ModelStates::sort_tensors() {
  Members members;
  std::unordered_map<const void*, bool> seen;
  const bool shards = is_sharded(parts_.config);
  for (const auto& entry : parts_.model.named_parameters()) {
    const at::Tensor& tensor = entry.value();
    if (!seen.emplace(tensor.unsafeGetTensorImpl(), true).second) continue;
    if (tensor.requires_grad())
      members.trained.push_back({entry.key(), tensor});
    else if (shards && tensor.is_floating_point())
      members.frozen.push_back({entry.key(), tensor});
    else
      whole_.push_back({entry.key(), tensor});
  }
  for (const auto& entry : parts_.model.named_buffers()) whole_.push_back({entry.key(), entry.value()});
  return members;
}

void ModelStates::add_groups(Members members) {
  if (parts_.groups.empty()) return add_group(std::move(members.trained), 0);
  std::unordered_map<const void*, std::string> names;  // still unassigned
  for (const auto& p : members.trained) names.emplace(p.tensor.unsafeGetTensorImpl(), p.name);
  size_t number = 0;
  for (const auto& group : parts_.groups) {
    std::vector<zero::NamedParameter> named;
    for (const auto& parameter : group.parameters) {
      auto known = names.find(parameter.unsafeGetTensorImpl());
      DS_CHECK(known != names.end(),
               "a parameter group holds a tensor that is no trainable parameter of the model, or holds "
               "one that another group already has");
      named.push_back({known->second, parameter});
      names.erase(known);
    }
    DS_CHECK(!named.empty(), "a parameter group is empty");
    add_group(std::move(named), number++);
  }
}

void ModelStates::add_group(std::vector<zero::NamedParameter> members, size_t group) {
  const auto& config = parts_.config;
  const zero::StateFormats formats{
      .gradients = accel::scalar_type(config.engine.grad_accum_dtype.value_or(config.model_dtype())),
      .masters = accel::scalar_type(config.master_dtype())};
  auto parts = by_wire(std::move(members));
  size_t pieces = 0;
  for (Wire& wire : parts) {
    if (wire.members.empty()) continue;
    const auto fill = specs_.empty() ? zero::ParameterShards::Fill() : fill_of(wire.members);
    for (const auto& others : states_)  // one bound for all
      if (others->shards() != nullptr)
        wire.zero.offload_param.max_in_cpu =
            std::max<int64_t>(0, wire.zero.offload_param.max_in_cpu - others->shards()->shard().numel());
    states_.push_back(std::make_unique<zero::GroupStates>(std::move(wire.members), wire.zero, groups_,
                                                          formats, fill, config.aio));
    places_.push_back({group, pieces});
    pieces += states_.back()->owned().size();
  }
}

// Under autocast the gradients of modules that can do with it travel in its format, each format in buckets of
// its own. Whoever sets communication_data_type has chosen for all of them.
std::vector<ModelStates::Wire> ModelStates::by_format(std::vector<zero::NamedParameter> members) const {
  const auto& config = parts_.config;
  const auto& autocast = config.torch_autocast;
  if (!autocast.enabled) return {{std::move(members), config.zero}};
  // Looked up also where nothing is sharded, so that a wrong name is an error everywhere.
  const auto low = lower_precision_parameters(parts_.model, autocast.lower_precision_safe_modules);
  if (!autocast.cast_type() || config.zero.stage == 0 || config.zero.reduction.communication_data_type)
    return {{std::move(members), config.zero}};
  std::vector<Wire> parts(2, {{}, config.zero});  // as they are, lower
  parts[1].zero.reduction.communication_data_type = autocast.cast_type();
  for (auto& member : members)
    parts[low.contains(member.tensor.unsafeGetTensorImpl())].members.push_back(std::move(member));
  return parts;
}

// Gradients of vectors (biases, norms) are few and are never quantized, as DeepSpeed has it.
std::vector<ModelStates::Wire> ModelStates::by_wire(std::vector<zero::NamedParameter> members) const {
  std::vector<Wire> formats = by_format(std::move(members));
  if (!parts_.config.zero.plus_plus.quantized_gradients) return formats;
  std::vector<Wire> parts;
  for (Wire& format : formats) {
    Wire vectors{{}, format.zero}, matrices{{}, format.zero};
    vectors.zero.plus_plus.quantized_gradients = false;
    for (auto& member : format.members)
      (member.tensor.dim() > 1 ? matrices : vectors).members.push_back(std::move(member));
    parts.push_back(std::move(matrices));
    parts.push_back(std::move(vectors));
  }
  return parts;
}

void ModelStates::shard_frozen(std::vector<zero::NamedParameter> parameters) {
  if (parameters.empty()) return;
  const auto fill = fill_of(parameters);
  const auto dtype = parameters.front().tensor.scalar_type();
  frozen_ = std::make_unique<zero::ParameterShards>(
      std::move(parameters), fill, groups_.shard,
      zero::ParameterShards::options_of(parts_.config.zero, groups_, dtype, /*trainable=*/false));
}

// From the tensors that have memory, from the source for those that have none.
zero::ParameterShards::Fill ModelStates::fill_of(const std::vector<zero::NamedParameter>& parameters) const {
  std::vector<const nn::ParameterSpec*> sources;
  for (const auto& p : parameters) {
    const nn::ParameterSpec* found = nullptr;
    for (const auto& spec : specs_)
      if (spec.tensor.is_same(p.tensor)) found = &spec;
    sources.push_back(found);
  }
  return [parameters, sources, values = parts_.values](size_t param, int64_t begin, at::Tensor slice) {
    if (sources[param] != nullptr) return values->fill(*sources[param], begin, std::move(slice));
    slice.copy_(parameters[param].tensor.detach().reshape({-1}).narrow(0, begin, slice.numel()));
  };
}

std::pair<zero::GroupStates*, size_t> ModelStates::owner(size_t group, size_t piece) const {
  for (size_t s = 0; s < states_.size(); ++s) {
    const auto& [its_group, first] = places_[s];
    if (its_group == group && piece >= first && piece - first < states_[s]->owned().size())
      return {states_[s].get(), piece - first};
  }
  base::fail("the optimizer's group {} has no piece {}", group, piece);
}

std::optional<ModelStates::ParameterPlace> ModelStates::find(const at::Tensor& parameter) const {
  for (size_t s = 0; s < states_.size(); ++s) {
    const auto& parameters = states_[s]->parameters();
    for (size_t p = 0; p < parameters.size(); ++p)
      if (parameters[p].tensor.is_same(parameter)) return ParameterPlace{s, p};
  }
  const auto all = parts_.model.parameters();
  const bool known =
      std::any_of(all.begin(), all.end(), [&](const at::Tensor& p) { return p.is_same(parameter); });
  DS_CHECK(known, "the tensor is no parameter of the engine's model: pass one of module().parameters()");
  return std::nullopt;
}

std::vector<optim::ParamGroup> ModelStates::optimizer_groups() const {
  std::vector<optim::ParamGroup> groups;
  for (size_t s = 0; s < states_.size(); ++s) {
    const size_t g = places_[s].group;
    if (g == groups.size()) {
      groups.push_back(optim::default_group(parts_.config.optimizer));
      if (g < parts_.groups.size()) {
        groups[g].lr = parts_.groups[g].lr.value_or(groups[g].lr);
        groups[g].weight_decay = parts_.groups[g].weight_decay.value_or(groups[g].weight_decay);
      }
    }
    for (auto& piece : states_[s]->pieces()) groups[g].pieces.push_back(std::move(piece));
  }
  return groups;
}

void ModelStates::add_bytes(zero::StateBytes& bytes) const {
  for (const auto& states : states_) states->add_bytes(bytes);
  if (frozen_) frozen_->add_bytes(bytes);
  for (const auto& [name, tensor] : whole_) bytes.parameters += static_cast<int64_t>(tensor.nbytes());
}

}  // namespace deepspeed::engine
