#include "deepspeed/zero/group_states.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/buffer.h"
#include "deepspeed/zero/offload_plan.h"

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

at::Tensor without_memory(int64_t numel, at::ScalarType dtype) {
  at::Tensor empty = at::empty({0}, dtype);
  empty.unsafeGetTensorImpl()->set_sizes_contiguous({numel});
  return empty;
}

std::optional<PartFileOptions> part_file(const OffloadParamConfig& config, const aio::AioConfig& aio) {
  if (config.device != Home::kNvme) return std::nullopt;
  DS_CHECK(config.nvme_path, "parameters on NVMe need offload_param.nvme_path");
  return PartFileOptions{.folder = *config.nvme_path,
                         .max_in_memory = config.max_in_cpu,
                         .reads_ahead = config.buffer_count,
                         .aio = aio};
}

ParameterShards::Fill fill_from(const std::vector<NamedParameter>& parameters) {
  return [parameters](size_t param, int64_t begin, at::Tensor slice) {
    slice.copy_(parameters[param].tensor.detach().reshape({-1}).narrow(0, begin, slice.numel()));
  };
}

}  // namespace

GroupStates::GroupStates(std::vector<NamedParameter> parameters, const ZeroConfig& config,
                         const ZeroGroups& groups, StateFormats formats, const ParameterShards::Fill& fill,
                         const aio::AioConfig& aio)
    : parameters_(std::move(parameters)),
      config_(config),
      table_(state_table(config)),
      group_(groups.shard),
      layout_(layout_of(parameters_, group_->size(), table_.parameter.sharded)),
      host_(HostSide::where_wanted(config.offload_optimizer, group_->device())),
      gradients_(layout_, table_, config, groups, formats.gradients) {
  check_one_type(parameters_);
  if (table_.parameter.sharded) {
    auto options = ParameterShards::options_of(config, groups, parameters_.front().tensor.scalar_type());
    options.file = part_file(config.offload_param, aio);
    shards_ =
        std::make_unique<ParameterShards>(parameters_, fill ? fill : fill_from(parameters_), group_, options);
    shards_->set_listener([this](const partition::Piece& part) { adopt_part(part); });
    flat_ = shards_->shard();
  } else {
    flatten();
  }
  const bool sharded = table_.optimizer.sharded;
  const partition::Layout owner_layout = sharded ? layout_ : layout_of(parameters_, 1, false);
  const bool on_disk = table_.optimizer.home == Home::kNvme;
  resident_ = resident_elements(config.offload_optimizer, owner_layout.shard_numel());
  const bool tiled = on_disk || (shards_ && flat_.numel() < owner_layout.shard_numel());
  owned_ = cut_pieces(owner_layout.pieces(sharded ? group_->rank() : 0), resident_,
                      tiled || host_ ? tile_elements(config) : owner_layout.shard_numel());
  // Whether values are in memory does not change within a piece either.
  owned_ = cut_pieces(owned_, shards_ ? flat_.numel() : 0, owner_layout.shard_numel());
  first_ = sharded && !shards_ ? group_->rank() * layout_.shard_numel() : 0;
  make_masters(formats.masters, on_disk ? resident_ : owner_layout.shard_numel());
}

// What the optimizer updates: the parameters' own values where it can, a copy of the first `numel` elements
// where format or place is another.
void GroupStates::make_masters(at::ScalarType format, int64_t numel) {
  at::NoGradGuard no_grad;
  const at::Tensor own = own_values();
  if (host_) {
    master_ = HostSide::memory(own.numel(), format).copy_(own);
    if (has_masters()) rounded_ = HostSide::memory(own.numel(), own.scalar_type()).copy_(own);
    return;
  }
  master_ = own;
  if (own.scalar_type() == format) return;
  master_ = ops::empty_buffer({numel}, format, own.device());
  const int64_t here = std::min(numel, own.numel());
  master_.narrow(0, 0, here).copy_(own.narrow(0, 0, here));
  master_.narrow(0, here, numel - here).zero_();  // padding, and what comes from a disk
  for (size_t i = 0; i < owned_.size(); ++i)
    if (is_stored(i) && owned_[i].shard_offset < numel)
      master_.narrow(0, owned_[i].shard_offset, owned_[i].count).copy_(values_of(i));
}

// Masters of a format of their own.
bool GroupStates::has_masters() const { return master_.scalar_type() != flat_.scalar_type(); }

bool GroupStates::is_stored(size_t i) const { return shards_ && owned_[i].shard_offset >= flat_.numel(); }

void GroupStates::write_values(size_t i, const at::Tensor& values) {
  if (host_) return host_->give(values_of(i), values);
  DS_CHECK(is_stored(i), "the parameters' values are in memory");
  shards_->write(owned_[i].shard_offset, values);
}

at::Tensor GroupStates::values_of(size_t i) const {
  if (shards_) return shards_->read(owned_[i].shard_offset, owned_[i].count);
  return flat_.narrow(0, first_ + owned_[i].shard_offset, owned_[i].count);
}

at::Tensor GroupStates::gradient_of(size_t i) const {
  return gradients_.given().narrow(0, owned_[i].shard_offset, owned_[i].count);
}

// What this rank's optimizer updates, in the parameters' own format, as far as it is in memory.
at::Tensor GroupStates::own_values() const {
  if (shards_) return flat_;
  return flat_.narrow(0, first_, table_.optimizer.sharded ? layout_.shard_numel() : layout_.padded_numel());
}

void GroupStates::flatten() {
  at::NoGradGuard no_grad;
  flat_ =
      ops::empty_buffer({layout_.padded_numel()}, parameters_.front().tensor.scalar_type(), group_->device());
  flat_.zero_();
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
  std::vector<optim::Piece> pieces;
  for (size_t i = 0; i < owned_.size(); ++i) {
    const partition::Piece& owned = owned_[i];
    optim::Piece piece;
    // The name carries the place, so that two runs of one parameter never share a name.
    piece.name = parameters_[owned.param].name + "@" + std::to_string(owned.begin);
    piece.param = owned.shard_offset < master_.numel() ? master_.narrow(0, owned.shard_offset, owned.count)
                                                       : without_memory(owned.count, master_.scalar_type());
    piece.grad = gradient_of(i);
    if (host_ && has_masters())
      piece.low_precision_copy = rounded_.narrow(0, owned.shard_offset, owned.count);
    else if (has_masters())
      piece.low_precision_copy =
          is_stored(i) ? without_memory(owned.count, flat_.scalar_type()) : values_of(i);
    piece.on_device = config_.offload_optimizer.enabled() && owned.shard_offset < resident_;
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

void GroupStates::load_values(const ParameterShards::Fill& fill) {
  if (!shards_) {
    for (size_t p = 0; p < parameters_.size(); ++p) load_own_values(p, fill);
    return;
  }
  for (size_t i = 0; i < owned_.size(); ++i) load_piece(i, fill);
  shards_->refresh();
}

void GroupStates::load_own_values(size_t param, const ParameterShards::Fill& fill) {
  if (!shards_)
    return fill(param, 0, flat_.narrow(0, layout_.flat_offset(param), parameters_[param].tensor.numel()));
  for (size_t i = 0; i < owned_.size(); ++i)
    if (owned_[i].param == param) load_piece(i, fill);
}

void GroupStates::load_piece(size_t i, const ParameterShards::Fill& fill) {
  const at::Tensor values = values_of(i);
  fill(owned_[i].param, owned_[i].begin, values);
  if (is_stored(i)) write_values(i, values);
}

void GroupStates::refresh(size_t param) {
  if (shards_) shards_->refresh(param);
}

void GroupStates::adopt_part(const partition::Piece& part) {
  const auto end = [](const partition::Piece& piece) { return piece.shard_offset + piece.count; };
  for (size_t i = 0; i < owned_.size(); ++i) {
    const int64_t from = std::max(part.shard_offset, owned_[i].shard_offset),
                  to = std::min(end(part), end(owned_[i]));
    if (from >= to) continue;
    const at::Tensor values = shards_->read(from, to - from);
    if (from < master_.numel())
      master_.narrow(0, from, to - from).copy_(values);
    else if (write_master_)
      write_master_(i, from - owned_[i].shard_offset, values);
  }
}

void GroupStates::add_bytes(StateBytes& bytes) const {
  if (shards_)
    shards_->add_bytes(bytes);
  else
    bytes.parameters += static_cast<int64_t>(flat_.nbytes());
  bytes.gradients += gradients_.bytes_accumulated();
  bytes.buckets += gradients_.bytes_in_buckets();
  if (has_masters() || host_) bytes.optimizer += static_cast<int64_t>(master_.nbytes());
}

}  // namespace deepspeed::zero
