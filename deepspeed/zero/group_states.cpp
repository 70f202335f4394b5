#include "deepspeed/zero/group_states.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

partition::Layout layout_of(const std::vector<NamedParameter>& parameters, int world_size) {
  std::vector<partition::ParamSize> sizes;
  for (const auto& p : parameters) sizes.push_back({p.name, p.tensor.numel()});
  return partition::Layout::concatenated(std::move(sizes), world_size);
}

}  // namespace

GroupStates::GroupStates(std::vector<NamedParameter> parameters, const ZeroConfig& config,
                         comm::GroupPtr group, StateFormats formats)
    : parameters_(std::move(parameters)),
      config_(config),
      table_(state_table(config)),
      group_(group),
      layout_(layout_of(parameters_, group->size())),
      gradients_(layout_, table_, config, group, formats.gradients) {
  flatten();
  const bool sharded = table_.optimizer.sharded;
  const partition::Layout owner_layout = sharded ? layout_ : layout_of(parameters_, 1);
  const auto owned = owner_layout.pieces(sharded ? group_->rank() : 0);
  owned_.assign(owned.begin(), owned.end());
  first_ = sharded ? group_->rank() * layout_.shard_numel() : 0;
  const at::Tensor mine = flat_.narrow(0, first_, sharded ? layout_.shard_numel() : layout_.padded_numel());
  master_ = mine.to(formats.masters);
}

void GroupStates::flatten() {
  at::NoGradGuard no_grad;
  DS_CHECK(!parameters_.empty(), "a parameter group holds no parameters");
  const auto options = parameters_.front().tensor.options();
  flat_ = at::zeros({layout_.padded_numel()}, options.requires_grad(false));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& parameter = parameters_[i].tensor;
    DS_CHECK(parameter.scalar_type() == flat_.scalar_type(), "parameter '{}' is {} in a group of {}",
             parameters_[i].name, c10::toString(parameter.scalar_type()), c10::toString(flat_.scalar_type()));
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

void GroupStates::round_masters() {
  if (!master_.is_alias_of(flat_)) flat_.narrow(0, first_, master_.numel()).copy_(master_);
}

void GroupStates::adopt_parameters() {
  if (!master_.is_alias_of(flat_)) master_.copy_(flat_.narrow(0, first_, master_.numel()));
}

void GroupStates::broadcast_parameters() {
  if (group_->size() == 1) return;
  group_->broadcast(flat_, /*root=*/0);
  adopt_parameters();
}

}  // namespace deepspeed::zero
