#include "deepspeed/zero/group_states.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

partition::Layout layout_of(const std::vector<NamedParameter>& parameters, int world_size,
                            bool per_parameter) {
  std::vector<partition::ParamSize> sizes;
  for (const auto& p : parameters) sizes.push_back({p.name, p.tensor.numel()});
  return per_parameter ? partition::Layout::per_parameter(std::move(sizes), world_size)
                       : partition::Layout::concatenated(std::move(sizes), world_size);
}

void check_one_type(const std::vector<NamedParameter>& parameters) {
  DS_CHECK(!parameters.empty(), "a parameter group holds no parameters");
  const at::ScalarType type = parameters.front().tensor.scalar_type();
  for (const auto& p : parameters)
    DS_CHECK(p.tensor.scalar_type() == type, "parameter '{}' is {} in a group of {}", p.name,
             c10::toString(p.tensor.scalar_type()), c10::toString(type));
}

ParameterShards::Fill values_of(const std::vector<NamedParameter>& parameters) {
  return [parameters](size_t param, int64_t begin, at::Tensor slice) {
    slice.copy_(parameters[param].tensor.detach().reshape({-1}).narrow(0, begin, slice.numel()));
  };
}

}  // namespace

GroupStates::GroupStates(std::vector<NamedParameter> parameters, const ZeroConfig& config,
                         const ZeroGroups& groups, StateFormats formats, const ParameterShards::Fill& fill)
    : parameters_(std::move(parameters)),
      config_(config),
      table_(state_table(config)),
      group_(groups.shard),
      layout_(layout_of(parameters_, group_->size(), table_.parameter.sharded)),
      gradients_(layout_, table_, config, groups, formats.gradients) {
  check_one_type(parameters_);
  if (table_.parameter.sharded) {
    shards_ = std::make_unique<ParameterShards>(
        parameters_, fill ? fill : values_of(parameters_), group_,
        ParameterShards::options_of(config, groups, parameters_.front().tensor.scalar_type()));
    shards_->set_listener([this](const partition::Piece& part) { adopt_part(part); });
    flat_ = shards_->shard();
  } else {
    flatten();
  }
  const bool sharded = table_.optimizer.sharded;
  const partition::Layout owner_layout = sharded ? layout_ : layout_of(parameters_, 1, false);
  const auto owned = owner_layout.pieces(sharded ? group_->rank() : 0);
  owned_.assign(owned.begin(), owned.end());
  first_ = sharded && !shards_ ? group_->rank() * layout_.shard_numel() : 0;
  master_ = own_values().to(formats.masters);
}

// What this rank's optimizer updates, in the parameters' own format.
at::Tensor GroupStates::own_values() const {
  return flat_.narrow(0, first_, table_.optimizer.sharded ? layout_.shard_numel() : layout_.padded_numel());
}

void GroupStates::flatten() {
  at::NoGradGuard no_grad;
  const auto options = parameters_.front().tensor.options();
  flat_ = at::zeros({layout_.padded_numel()}, options.requires_grad(false));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& parameter = parameters_[i].tensor;
    at::Tensor view = flat_.narrow(0, layout_.flat_offset(i), parameter.numel()).view(parameter.sizes());
    view.copy_(parameter);
    // A view of its own version counter: writing through flat_ must not look like an in-place change to
    // autograd.
    parameter.set_data(view.detach());
  }
}

std::vector<optim::Piece> GroupStates::pieces() const {
  const at::Tensor gradient = table_.optimizer.sharded ? gradients_.shard() : gradients_.whole();
  const bool has_copy = !master_.is_alias_of(flat_);
  std::vector<optim::Piece> pieces;
  for (const auto& owned : owned_) {
    optim::Piece piece;
    // The name carries the place, so that two runs of one parameter never share a name.
    piece.name = parameters_[owned.param].name + "@" + std::to_string(owned.begin);
    piece.param = master_.narrow(0, owned.shard_offset, owned.count);
    piece.grad = gradient.narrow(0, owned.shard_offset, owned.count);
    if (has_copy) piece.low_precision_copy = flat_.narrow(0, first_ + owned.shard_offset, owned.count);
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

void GroupStates::publish() {
  if (shards_) return shards_->refresh();
  if (!table_.optimizer.sharded || group_->size() == 1) return;
  const int64_t shard = layout_.shard_numel();
  const at::Tensor own = flat_.narrow(0, group_->rank() * shard, shard);
  if (!config_.allgather_partitions) {
    for (int root = 0; root < group_->size(); ++root)
      group_->broadcast(flat_.narrow(0, root * shard, shard), root);
    return;
  }
  const int64_t bucket = config_.allgather_bucket_size;
  if (bucket == 0 || bucket >= layout_.padded_numel()) {
    group_->all_gather_into_tensor(flat_, own);
    return;
  }
  const int64_t step = std::max<int64_t>(1, bucket / group_->size());
  for (int64_t at = 0; at < shard; at += step) {
    const int64_t count = std::min(step, shard - at);
    std::vector<at::Tensor> outputs;
    for (int r = 0; r < group_->size(); ++r) outputs.push_back(flat_.narrow(0, r * shard + at, count));
    group_->all_gather(outputs, own.narrow(0, at, count));
  }
}

std::vector<GroupStates::KeptRun> GroupStates::kept_runs() const {
  std::vector<KeptRun> runs;
  if (shards_) {
    for (const auto& piece : owned_)
      runs.push_back({piece.param, piece.begin, flat_.narrow(0, piece.shard_offset, piece.count)});
  } else {
    for (size_t p = 0; p < parameters_.size(); ++p)
      runs.push_back({p, 0, flat_.narrow(0, layout_.flat_offset(p), parameters_[p].tensor.numel())});
  }
  return runs;
}

void GroupStates::publish_values() {
  if (shards_) shards_->refresh();
}

void GroupStates::adopt_parameters() {
  if (!master_.is_alias_of(flat_)) master_.copy_(own_values());
}

void GroupStates::adopt_part(const partition::Piece& part) {
  if (master_.is_alias_of(flat_)) return;
  master_.narrow(0, part.shard_offset, part.count).copy_(flat_.narrow(0, part.shard_offset, part.count));
}

}  // namespace deepspeed::zero
