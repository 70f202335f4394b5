#include "deepspeed/engine/full_values.h"

#include <ATen/ops/zeros.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/together.h"

namespace deepspeed::engine {
namespace {

enum class Scope { kFull, kLocal };
// What is kept beside a parameter: what the optimizer updates, one of its states, the gradient.
enum class Kind { kValue, kState, kGradient };

struct Call {
  const char* name;
  Engine& engine;
  const at::Tensor& parameter;
  Scope scope;
  Kind kind;
  std::string state = zero::kMasterCopy;
};

constexpr const char* kNoGradient =
    "there is no gradient to set: one exists from the backward that ends a window of accumulation to step()";

// Elements [begin, begin + numel) of a flattened parameter, those past its end being padding.
struct Range {
  int64_t begin, numel;
  std::vector<int64_t> sizes;  // of the tensor that the caller sees
};

std::string shape_text(at::IntArrayRef sizes) { return fmt::format("[{}]", fmt::join(sizes, ", ")); }

// A trained parameter, as far as this rank keeps it.
class Holding {
 public:
  Holding(Engine& engine, const ModelStates::ParameterPlace& place)
      : states_(*engine.model_states().all()[place.states]),
        place_(engine.model_states().place(place.states)),
        home_(engine.optimizer_home()),
        param_(place.param),
        group_(*engine.model_states().groups().shard) {}

  const std::string& name() const { return states_.parameters()[param_].name; }
  Range range(Scope scope) const;
  bool has(Kind kind) const { return kind != Kind::kGradient || states_.gradients().has_average(); }
  // This rank's elements of the range, [range.numel], and zeros.
  at::Tensor read(const Call& call, const Range& range) const;
  void write(const Call& call, const Range& range, const at::Tensor& value);
  // The other ranks' elements of a whole parameter join this rank's. Collective.
  void gather(const at::Tensor& flat) const;
  // The parameter in the model's format takes the same values; then, collective, what ranks keep of each
  // other's parts.
  void load(const Range& range, const at::Tensor& value);
  void refresh() { states_.refresh(param_); }

 private:
  void each_piece(const std::function<void(size_t piece, const partition::Piece& place)>& visit) const {
    for (size_t i = 0; i < states_.owned().size(); ++i)
      if (states_.owned()[i].param == param_) visit(i, states_.owned()[i]);
  }

  zero::GroupStates& states_;
  ModelStates::OptimizerPlace place_;
  zero::OptimizerHome& home_;
  size_t param_;
  comm::Group& group_;  // over which states are cut
};

Range Holding::range(Scope scope) const {
  const at::Tensor& tensor = states_.parameters()[param_].tensor;
  if (scope == Scope::kFull) return {0, tensor.numel(), tensor.sizes().vec()};
  DS_CHECK(states_.shards() != nullptr,
           "parameters are not sharded: ranks have parts of them at zero_optimization.stage 3 only");
  const int64_t numel = states_.layout().part_numel(param_);
  return {group_.rank() * numel, numel, {numel}};
}

at::Tensor Holding::read(const Call& call, const Range& range) const {
  const at::Tensor flat = at::zeros({range.numel}, at::kFloat);
  each_piece([&](size_t i, const partition::Piece& place) {
    const at::Tensor values = call.kind == Kind::kGradient
                                  ? states_.gradient_of(i)
                                  : home_.values(place_.group, place_.first_piece + i, call.state);
    flat.narrow(0, place.begin - range.begin, place.count).copy_(values);
  });
  return flat;
}

void Holding::write(const Call& call, const Range& range, const at::Tensor& value) {
  each_piece([&](size_t i, const partition::Piece& place) {
    const at::Tensor values = value.narrow(0, place.begin - range.begin, place.count);
    if (call.kind == Kind::kGradient)
      states_.gradient_of(i).copy_(values);
    else
      home_.write(place_.group, place_.first_piece + i, call.state, /*begin=*/0, values);
  });
}

void Holding::gather(const at::Tensor& flat) const {
  if (!states_.table().optimizer.sharded || group_.size() == 1) return;
  std::vector<at::Tensor> parts(static_cast<size_t>(group_.size()), flat.narrow(0, 0, 0));
  for (const auto& [rank, piece] : states_.layout().owners(param_))
    parts[static_cast<size_t>(rank)] = flat.narrow(0, piece.begin, piece.count);
  group_.all_gather(parts, parts[static_cast<size_t>(group_.rank())]);
}

void Holding::load(const Range& range, const at::Tensor& value) {
  const auto* shards = states_.shards();
  DS_CHECK(shards == nullptr || shards->is_persistent(param_) || !shards->is_here(param_),
           "it is gathered: set it before or after engine.gathered()");
  states_.load_own_values(param_, [&](size_t, int64_t begin, const at::Tensor& slice) {
    slice.copy_(value.narrow(0, begin - range.begin, slice.numel()));
  });
  states_.finish_writes();
}

std::optional<Holding> find(Engine& engine, const at::Tensor& parameter) {
  const auto place = engine.model_states().find(parameter);
  return place ? std::optional<Holding>(std::in_place, engine, *place) : std::nullopt;
}

// Runs what a call does on this rank; a failure of one rank is every rank's where all of them call.
void carry_out(const Call& call, bool collective, const std::function<void(std::optional<Holding>)>& action) {
  const auto checked = [&] {
    DS_CHECK(call.kind != Kind::kState || !call.state.empty(), "an optimizer state needs a name");
    auto holding = find(call.engine, call.parameter);
    const std::string where = holding ? fmt::format("parameter '{}': ", holding->name()) : "";
    try {
      action(std::move(holding));
    } catch (const std::exception& error) {
      base::fail("{}{}", where, error.what());
    }
  };
  if (collective) return comm::together(call.engine.group(), call.name, checked);
  try {
    checked();
  } catch (const std::exception& error) {
    base::fail("{}: {}", call.name, error.what());
  }
}

std::optional<at::Tensor> get(const Call& call) {
  at::NoGradGuard no_grad;
  const bool full = call.scope == Scope::kFull;
  std::optional<Holding> found;
  std::optional<at::Tensor> values;
  carry_out(call, /*collective=*/full, [&](std::optional<Holding> holding) {
    if (!holding) return;
    const Range range = holding->range(call.scope);
    if (holding->has(call.kind)) values = holding->read(call, range);
    found.emplace(*holding);
  });
  if (!values || !full) return values;
  found->gather(*values);
  return values->view(call.parameter.sizes());
}

void set(const Call& call, const at::Tensor& value) {
  at::NoGradGuard no_grad;
  const bool moves_parameter = call.kind == Kind::kValue;
  // A forward without backward may have left parameters gathered.
  if (moves_parameter) call.engine.model_states().fetcher().end_pass();
  std::optional<Holding> found;
  carry_out(call, call.scope == Scope::kFull || moves_parameter, [&](std::optional<Holding> holding) {
    DS_CHECK(holding, "the parameter is not trained and has no states: change it in engine.gathered()");
    const Range range = holding->range(call.scope);
    DS_CHECK(value.defined() && value.sizes() == at::IntArrayRef(range.sizes),
             "the value has shape {}, wanted is {}", value.defined() ? shape_text(value.sizes()) : "none",
             shape_text(range.sizes));
    DS_CHECK(holding->has(call.kind), "{}", kNoGradient);
    const at::Tensor flat = value.detach().reshape({-1});
    if (moves_parameter) holding->load(range, flat);
    holding->write(call, range, flat);
    found.emplace(*holding);
  });
  if (moves_parameter) found->refresh();
}

}  // namespace

std::optional<at::Tensor> safe_get_full_fp32_param(Engine& engine, const at::Tensor& parameter) {
  return get({"safe_get_full_fp32_param", engine, parameter, Scope::kFull, Kind::kValue});
}

void safe_set_full_fp32_param(Engine& engine, const at::Tensor& parameter, const at::Tensor& value) {
  set({"safe_set_full_fp32_param", engine, parameter, Scope::kFull, Kind::kValue}, value);
}

std::optional<at::Tensor> safe_get_full_grad(Engine& engine, const at::Tensor& parameter) {
  return get({"safe_get_full_grad", engine, parameter, Scope::kFull, Kind::kGradient});
}

void safe_set_full_grad(Engine& engine, const at::Tensor& parameter, const at::Tensor& value) {
  set({"safe_set_full_grad", engine, parameter, Scope::kFull, Kind::kGradient}, value);
}

void safe_update_full_grad_vectorized(
    Engine& engine, const std::vector<at::Tensor>& parameters,
    const std::function<at::Tensor(const at::Tensor& gradient, const at::Tensor& parameter)>& update) {
  for (const at::Tensor& parameter : parameters) {
    if (!engine.model_states().find(parameter)) continue;
    const auto gradient = safe_get_full_grad(engine, parameter);
    DS_CHECK(gradient, "safe_update_full_grad_vectorized: {}", kNoGradient);
    safe_set_full_grad(engine, parameter, update(*gradient, parameter));
  }
}

std::optional<at::Tensor> safe_get_full_optimizer_state(Engine& engine, const at::Tensor& parameter,
                                                        const std::string& optim_state_key) {
  return get(
      {"safe_get_full_optimizer_state", engine, parameter, Scope::kFull, Kind::kState, optim_state_key});
}

void safe_set_full_optimizer_state(Engine& engine, const at::Tensor& parameter, const at::Tensor& value,
                                   const std::string& optim_state_key) {
  set({"safe_set_full_optimizer_state", engine, parameter, Scope::kFull, Kind::kState, optim_state_key},
      value);
}

std::optional<at::Tensor> safe_get_local_fp32_param(Engine& engine, const at::Tensor& parameter) {
  return get({"safe_get_local_fp32_param", engine, parameter, Scope::kLocal, Kind::kValue});
}

void safe_set_local_fp32_param(Engine& engine, const at::Tensor& parameter, const at::Tensor& value) {
  set({"safe_set_local_fp32_param", engine, parameter, Scope::kLocal, Kind::kValue}, value);
}

std::optional<at::Tensor> safe_get_local_grad(Engine& engine, const at::Tensor& parameter) {
  return get({"safe_get_local_grad", engine, parameter, Scope::kLocal, Kind::kGradient});
}

void safe_set_local_grad(Engine& engine, const at::Tensor& parameter, const at::Tensor& value) {
  set({"safe_set_local_grad", engine, parameter, Scope::kLocal, Kind::kGradient}, value);
}

std::optional<at::Tensor> safe_get_local_optimizer_state(Engine& engine, const at::Tensor& parameter,
                                                         const std::string& optim_state_key) {
  return get(
      {"safe_get_local_optimizer_state", engine, parameter, Scope::kLocal, Kind::kState, optim_state_key});
}

void safe_set_local_optimizer_state(Engine& engine, const at::Tensor& parameter, const at::Tensor& value,
                                    const std::string& optim_state_key) {
  set({"safe_set_local_optimizer_state", engine, parameter, Scope::kLocal, Kind::kState, optim_state_key},
      value);
}

}  // namespace deepspeed::engine
