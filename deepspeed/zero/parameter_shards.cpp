#include "deepspeed/zero/parameter_shards.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/coded_tensor.h"

namespace deepspeed::zero {
namespace {

partition::Layout layout_of(const std::vector<NamedParameter>& parameters, int world_size) {
  std::vector<partition::ParamSize> sizes;
  for (const auto& p : parameters) sizes.push_back({p.name, p.tensor.numel()});
  return partition::Layout::per_parameter(std::move(sizes), world_size);
}

void lend(const c10::Storage& storage, void* memory, size_t bytes) {
  storage.unsafeGetStorageImpl()->set_data_ptr_noswap(at::DataPtr(memory, at::kCPU));
  storage.unsafeGetStorageImpl()->set_nbytes(bytes);
}

}  // namespace

ParameterShards::Options ParameterShards::options_of(const ZeroConfig& config, const ZeroGroups& groups,
                                                     at::ScalarType dtype, bool trainable) {
  PartGather::Options gather{.code = {}, .secondary = groups.secondary, .hosts = groups.shard_hosts};
  const bool keep_coded = !trainable && config.plus_plus.quantized_nontrainable_weights;
  if (config.plus_plus.quantized_weights || keep_coded) gather.code = kWeightCode;
  return {.dtype = dtype,
          .persistence_threshold = config.stage3.param_persistence_threshold,
          .model_persistence_threshold = config.stage3.model_persistence_threshold,
          .gather = std::move(gather),
          .keep_coded = keep_coded && groups.shard->size() > 1};
}

ParameterShards::ParameterShards(std::vector<NamedParameter> parameters, const Fill& fill,
                                 comm::GroupPtr group, const Options& options)
    : parameters_(std::move(parameters)),
      group_(std::move(group)),
      layout_(layout_of(parameters_, group_->size())),
      options_(options),
      gather_(group_, parameters_.size(), options.gather),
      wholes_(parameters_.size()) {
  at::NoGradGuard no_grad;
  make_parts(fill);
  int64_t persistent = 0;
  for (size_t p = 0; p < parameters_.size(); ++p) {
    const int64_t numel = parameters_[p].tensor.numel();
    wholes_[p].persistent =
        group_->size() == 1 ||
        (numel < options.persistence_threshold && persistent + numel <= options.model_persistence_threshold);
    if (wholes_[p].persistent) persistent += numel;
    take_over(p);
  }
  refresh();
}

ParameterShards::~ParameterShards() {
  for (Whole& whole : wholes_) {
    if (whole.gather) {
      try {
        whole.gather->wait();
      } catch (const std::exception&) {  // the one who waits for it is told
      }
    }
    if (whole.storage) lend(whole.storage, nullptr, 0);
  }
}

// Puts an empty storage of ours under the parameter; one rank alone keeps its parameters in the shard itself.
void ParameterShards::take_over(size_t param) {
  at::Tensor& tensor = parameters_[param].tensor;
  const auto sizes = tensor.sizes().vec();
  if (group_->size() == 1) {
    tensor.set_data(part(param).view(sizes).detach());
    wholes_[param].here = true;
    return;
  }
  at::Tensor empty = at::empty({0}, options_.dtype);
  empty.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  wholes_[param].storage = empty.storage();
  tensor.set_data(empty);
}

// Without elements where the parameter has too few for this rank.
partition::Piece ParameterShards::own_piece(size_t param) const {
  const int64_t numel = layout_.params()[param].numel, part = layout_.part_numel(param);
  const int64_t begin = std::min(numel, group_->rank() * part);
  return {.param = param,
          .begin = begin,
          .count = std::min(numel - begin, part),
          .shard_offset = layout_.part_offset(param)};
}

void ParameterShards::make_parts(const Fill& fill) {
  if (!options_.keep_coded) shard_ = at::zeros({layout_.shard_numel()}, options_.dtype);
  coded_begins_.push_back(0);
  for (size_t p = 0; options_.keep_coded && p < parameters_.size(); ++p)
    coded_begins_.push_back(coded_begins_.back() +
                            ops::coded_bytes(*options_.gather.code, layout_.part_numel(p)));
  if (options_.keep_coded) coded_ = at::empty({coded_begins_.back()}, at::kByte);
  for (size_t p = 0; p < parameters_.size(); ++p) {
    const partition::Piece own = own_piece(p);
    const at::Tensor values =
        options_.keep_coded ? at::zeros({layout_.part_numel(p)}, options_.dtype) : part(p);
    if (own.count > 0) fill(p, own.begin, values.narrow(0, 0, own.count));
    if (options_.keep_coded) set_part(p, values);
  }
}

at::Tensor ParameterShards::coded_part(size_t param) const {
  return coded_.narrow(0, coded_begins_[param], coded_begins_[param + 1] - coded_begins_[param]);
}

void ParameterShards::set_part(size_t param, const at::Tensor& values) {
  if (!options_.keep_coded) {
    part(param).copy_(values);
    return;
  }
  encode(*options_.gather.code, values, coded_part(param).mutable_data_ptr<uint8_t>());
}

at::Tensor ParameterShards::part(size_t param) const {
  if (options_.keep_coded) {
    at::Tensor values = at::empty({layout_.part_numel(param)}, options_.dtype);
    const uint8_t* coded = coded_part(param).const_data_ptr<uint8_t>();
    decode(*options_.gather.code, {&coded, 1}, values);
    return values;
  }
  return shard_.narrow(0, layout_.part_offset(param), layout_.part_numel(param));
}

// The gathered parts, with a version counter of their own: autograd takes no notice of what is written here.
at::Tensor ParameterShards::padded(size_t param) const {
  const int64_t numel = layout_.part_numel(param) * layout_.world_size();
  return wholes_[param]
      .buffer.narrow(0, 0, numel * static_cast<int64_t>(c10::elementSize(options_.dtype)))
      .view(options_.dtype);
}

void ParameterShards::start(size_t param, bool exact) {
  Whole& whole = wholes_[param];
  if (whole.here || whole.gather || parameters_[param].tensor.numel() == 0) return;
  at::NoGradGuard no_grad;
  whole.buffer = pool_.take(layout_.part_numel(param) * layout_.world_size() *
                            static_cast<int64_t>(c10::elementSize(options_.dtype)));
  whole.gather = begin_gather(param, exact);
}

comm::WorkPtr ParameterShards::begin_gather(size_t param, bool exact) {
  const at::Tensor whole = padded(param);
  if (options_.keep_coded) return gather_.start_coded(param, whole, coded_part(param));
  return exact ? gather_.start_exact(whole, part(param)) : gather_.start(param, whole, part(param));
}

void ParameterShards::finish(size_t param) {
  Whole& whole = wholes_[param];
  if (!whole.gather) return;
  whole.gather->wait();
  whole.gather = nullptr;
  lend(whole.storage, whole.buffer.mutable_data_ptr(), static_cast<size_t>(whole.buffer.numel()));
  whole.here = true;
}

void ParameterShards::release(size_t param) {
  Whole& whole = wholes_[param];
  finish(param);
  if (whole.persistent || !whole.here) return;
  lend(whole.storage, nullptr, 0);
  whole.here = false;
  pool_.give_back(std::exchange(whole.buffer, {}));
}

void ParameterShards::refresh() {
  if (group_->size() == 1) return;
  at::NoGradGuard no_grad;
  gather_.forget_all();
  std::vector<comm::WorkPtr> gathers;
  for (size_t p = 0; p < wholes_.size(); ++p) {
    DS_CHECK(wholes_[p].persistent || !wholes_[p].here, "'{}' is gathered while its shards change",
             parameters_[p].name);
    if (!wholes_[p].persistent) continue;
    if (wholes_[p].here)
      gathers.push_back(begin_gather(p, /*exact=*/true));
    else
      start(p, /*exact=*/true);
  }
  for (size_t p = 0; p < wholes_.size(); ++p)
    if (wholes_[p].persistent) finish(p);
  for (const auto& gather : gathers) gather->wait();
}

void ParameterShards::keep_part_of(size_t param) {
  at::NoGradGuard no_grad;
  DS_CHECK(wholes_[param].here, "'{}' is not gathered", parameters_[param].name);
  const partition::Piece own = own_piece(param);
  gather_.forget(param);
  if (group_->size() > 1) {
    const at::Tensor values = part(param);
    values.narrow(0, 0, own.count).copy_(padded(param).narrow(0, own.begin, own.count));
    if (options_.keep_coded) set_part(param, values);
  }
  if (listener_ && own.count > 0) listener_(own);
}

}  // namespace deepspeed::zero
