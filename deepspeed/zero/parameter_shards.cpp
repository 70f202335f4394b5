#include "deepspeed/zero/parameter_shards.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

partition::Layout layout_of(const std::vector<NamedParameter>& parameters, int world_size) {
  std::vector<partition::ParamSize> sizes;
  for (const auto& p : parameters) sizes.push_back({p.name, p.tensor.numel()});
  return partition::Layout::per_parameter(std::move(sizes), world_size);
}

// Whole parts from the first on, as many as there may be.
int64_t elements_in_memory(const partition::Layout& layout, const std::optional<PartFileOptions>& file) {
  if (!file) return layout.shard_numel();
  int64_t sum = 0;
  for (size_t p = 0; p < layout.params().size(); ++p) {
    const int64_t end = layout.part_offset(p) + layout.part_numel(p);
    if (end > file->max_in_memory) return sum;
    sum = end;
  }
  return layout.shard_numel();
}

void lend(const c10::Storage& storage, void* memory, size_t bytes) {
  storage.unsafeGetStorageImpl()->set_data_ptr_noswap(at::DataPtr(memory, at::kCPU));
  storage.unsafeGetStorageImpl()->set_nbytes(bytes);
}

}  // namespace

ParameterShards::ParameterShards(std::vector<NamedParameter> parameters, const Fill& fill,
                                 comm::GroupPtr group, const Options& options)
    : parameters_(std::move(parameters)),
      group_(std::move(group)),
      layout_(layout_of(parameters_, group_->size())),
      store_(layout_.shard_numel(), elements_in_memory(layout_, options.file), options.dtype, options.file),
      reads_ahead_(options.file ? options.file->reads_ahead : 0),
      wholes_(parameters_.size()) {
  at::NoGradGuard no_grad;
  int64_t persistent = 0;
  for (size_t p = 0; p < parameters_.size(); ++p) {
    const partition::Piece own = own_piece(p);
    if (is_stored(p)) {
      const at::Tensor values = at::zeros({layout_.part_numel(p)}, options.dtype);
      if (own.count > 0) fill(p, own.begin, values.narrow(0, 0, own.count));
      if (values.numel() > 0) store_.write(layout_.part_offset(p), values);
    } else if (own.count > 0) {
      fill(p, own.begin, shard().narrow(0, own.shard_offset, own.count));
    }
    const int64_t numel = parameters_[p].tensor.numel();
    wholes_[p].persistent =
        (group_->size() == 1 && !is_stored(p)) ||
        (numel < options.persistence_threshold && persistent + numel <= options.model_persistence_threshold);
    if (wholes_[p].persistent) persistent += numel;
    take_over(p);
  }
  refresh();
}

ParameterShards::~ParameterShards() {
  store_.cancel();
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

// Puts an empty storage of ours under the parameter; one rank alone keeps its parameters in the shard itself,
// if that is in memory.
void ParameterShards::take_over(size_t param) {
  at::Tensor& tensor = parameters_[param].tensor;
  const auto sizes = tensor.sizes().vec();
  if (group_->size() == 1 && !is_stored(param)) {
    tensor.set_data(part(param).view(sizes).detach());
    wholes_[param].here = true;
    return;
  }
  at::Tensor empty = at::empty({0}, shard().options());
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

// Reads it first where it is in the file.
at::Tensor ParameterShards::part(size_t param) {
  const int64_t numel = layout_.part_numel(param);
  if (numel == 0) return shard().narrow(0, 0, 0);
  if (!is_stored(param)) return shard().narrow(0, layout_.part_offset(param), numel);
  if (!wholes_[param].part.defined()) start_read(param);
  if (auto& reading = wholes_[param].reading) store_.wait(*std::exchange(reading, std::nullopt));
  return wholes_[param].part.narrow(0, 0, numel * store_.element_size()).view(store_.dtype());
}

void ParameterShards::start_read(size_t param) {
  Whole& whole = wholes_[param];
  const int64_t bytes = layout_.part_numel(param) * store_.element_size();
  whole.part = pool_.take(bytes);
  whole.reading = store_.start_read(layout_.part_offset(param), whole.part.narrow(0, 0, bytes));
}

void ParameterShards::give_back_part(size_t param) {
  Whole& whole = wholes_[param];
  if (whole.reading) store_.wait(*std::exchange(whole.reading, std::nullopt));
  if (whole.part.defined()) pool_.give_back(std::exchange(whole.part, {}));
}

void ParameterShards::read_ahead(size_t param) {
  const Whole& whole = wholes_[param];
  if (!is_stored(param) || whole.here || whole.gather || whole.part.defined() ||
      layout_.part_numel(param) == 0)
    return;
  const auto ahead = std::count_if(wholes_.begin(), wholes_.end(),
                                   [](const Whole& w) { return w.part.defined() && !w.gather; });
  if (ahead < reads_ahead_) start_read(param);
}

void ParameterShards::write(int64_t begin, const at::Tensor& values) {
  forget_reads();
  store_.write(begin, values);
}

void ParameterShards::forget_reads() {
  for (size_t p = 0; p < wholes_.size(); ++p)
    if (!wholes_[p].gather) give_back_part(p);
}

// The gathered parts, with a version counter of their own: autograd takes no notice of what is written here.
at::Tensor ParameterShards::padded(size_t param) const {
  const int64_t numel = layout_.part_numel(param) * layout_.world_size();
  return wholes_[param].buffer.narrow(0, 0, numel * store_.element_size()).view(store_.dtype());
}

void ParameterShards::start(size_t param) {
  Whole& whole = wholes_[param];
  if (whole.here || whole.gather || parameters_[param].tensor.numel() == 0) return;
  at::NoGradGuard no_grad;
  whole.buffer = pool_.take(layout_.part_numel(param) * layout_.world_size() * store_.element_size());
  whole.gather = group_->all_gather_into_tensor(padded(param), part(param), /*async=*/true);
}

void ParameterShards::finish(size_t param) {
  Whole& whole = wholes_[param];
  if (!whole.gather) return;
  whole.gather->wait();
  whole.gather = nullptr;
  give_back_part(param);
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
  forget_reads();
  at::NoGradGuard no_grad;
  std::vector<comm::WorkPtr> gathers;
  for (size_t p = 0; p < wholes_.size(); ++p) {
    DS_CHECK(wholes_[p].persistent || !wholes_[p].here, "'{}' is gathered while its shards change",
             parameters_[p].name);
    if (!wholes_[p].persistent || !wholes_[p].storage || parameters_[p].tensor.numel() == 0) continue;
    if (wholes_[p].here)
      gathers.push_back(group_->all_gather_into_tensor(padded(p), part(p), /*async=*/true));
    else
      start(p);
  }
  for (size_t p = 0; p < wholes_.size(); ++p)
    if (wholes_[p].persistent) finish(p);
  for (const auto& gather : gathers) gather->wait();
  forget_reads();
}

void ParameterShards::keep_part_of(size_t param) {
  at::NoGradGuard no_grad;
  DS_CHECK(wholes_[param].here, "'{}' is not gathered", parameters_[param].name);
  const partition::Piece own = own_piece(param);
  if (wholes_[param].storage && own.count > 0)
    store_.write(own.shard_offset, padded(param).narrow(0, own.begin, own.count));
  if (listener_ && own.count > 0) listener_(own);
}

}  // namespace deepspeed::zero
