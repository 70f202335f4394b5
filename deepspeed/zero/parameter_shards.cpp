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

// Values come from the CPU.
void fill_at(const ParameterShards::Fill& fill, size_t param, int64_t begin, const at::Tensor& slice) {
  if (slice.is_cpu()) return fill(param, begin, slice);
  const at::Tensor values = at::empty(slice.sizes(), slice.scalar_type());
  fill(param, begin, values);
  at::Tensor(slice).copy_(values);
}

void lend(const c10::Storage& storage, void* memory, size_t bytes) {
  storage.unsafeGetStorageImpl()->set_data_ptr_noswap(at::DataPtr(memory, storage.device()));
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
      store_(options.keep_coded ? 0 : layout_.shard_numel(),
             options.keep_coded ? 0 : elements_in_memory(layout_, options.file), options.dtype, options.file,
             group_->device()),
      pool_(group_->device()),
      gather_(group_, parameters_.size(), options.gather),
      wholes_(parameters_.size()) {
  at::NoGradGuard no_grad;
  make_parts(fill);
  int64_t persistent = 0;
  for (size_t p = 0; p < parameters_.size(); ++p) {
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
  at::Tensor empty = at::empty({0}, store_.memory().options());
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
at::Tensor ParameterShards::part_to_gather(size_t param) {
  const int64_t numel = layout_.part_numel(param);
  if (!is_stored(param)) return part(param);
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
  if (!is_stored(param) || whole.here || whole.gather || whole.part.defined() || gather_.has_copy(param))
    return;
  const auto ahead = std::count_if(wholes_.begin(), wholes_.end(),
                                   [](const Whole& w) { return w.part.defined() && !w.gather; });
  if (ahead < options_.file->reads_ahead) start_read(param);
}

void ParameterShards::write(int64_t begin, const at::Tensor& values) {
  forget_reads();
  store_.write(begin, values);
}

void ParameterShards::forget_reads() {
  for (size_t p = 0; p < wholes_.size(); ++p)
    if (!wholes_[p].gather) give_back_part(p);
}

void ParameterShards::make_parts(const Fill& fill) {
  if (options_.keep_coded) {
    coded_begins_.push_back(0);
    for (size_t p = 0; p < parameters_.size(); ++p)
      coded_begins_.push_back(coded_begins_.back() +
                              ops::coded_bytes(*options_.gather.code, layout_.part_numel(p)));
    coded_ = at::empty({coded_begins_.back()}, at::kByte);
  }
  for (size_t p = 0; p < parameters_.size(); ++p) {
    const partition::Piece own = own_piece(p);
    const bool apart = options_.keep_coded || is_stored(p);
    const at::Tensor values = apart ? at::zeros({layout_.part_numel(p)}, options_.dtype) : part(p);
    if (own.count > 0) fill_at(fill, p, own.begin, values.narrow(0, 0, own.count));
    if (apart) set_part(p, values);
  }
}

at::Tensor ParameterShards::coded_part(size_t param) const {
  return coded_.narrow(0, coded_begins_[param], coded_begins_[param + 1] - coded_begins_[param]);
}

void ParameterShards::set_part(size_t param, const at::Tensor& values) {
  if (!options_.keep_coded) {
    if (values.numel() > 0) write(layout_.part_offset(param), values);
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
  if (layout_.part_numel(param) == 0) return at::empty({0}, store_.memory().options());
  return read(layout_.part_offset(param), layout_.part_numel(param));
}

// The gathered parts, with a version counter of their own: autograd takes no notice of what is written here.
at::Tensor ParameterShards::padded(size_t param) const {
  const int64_t numel = layout_.part_numel(param) * layout_.world_size();
  return wholes_[param].buffer.narrow(0, 0, numel * store_.element_size()).view(store_.dtype());
}

void ParameterShards::start(size_t param, bool exact) {
  Whole& whole = wholes_[param];
  if (whole.here || whole.gather || parameters_[param].tensor.numel() == 0) return;
  at::NoGradGuard no_grad;
  whole.buffer = pool_.take(layout_.part_numel(param) * layout_.world_size() * store_.element_size());
  whole.gather = begin_gather(param, exact);
}

comm::WorkPtr ParameterShards::begin_gather(size_t param, bool exact) {
  const at::Tensor whole = padded(param);
  if (options_.keep_coded) return gather_.start_coded(param, whole, coded_part(param));
  if (!exact && gather_.has_copy(param)) return gather_.start(param, whole, /*part=*/{});
  const at::Tensor own = part_to_gather(param);
  return exact ? gather_.start_exact(whole, own) : gather_.start(param, whole, own);
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
  gather_.forget_all();
  std::vector<comm::WorkPtr> gathers;
  for (size_t p = 0; p < wholes_.size(); ++p)
    if (auto gather = begin_refresh(p)) gathers.push_back(std::move(gather));
  for (size_t p = 0; p < wholes_.size(); ++p)
    if (wholes_[p].persistent) finish(p);
  for (const auto& gather : gathers) gather->wait();
  forget_reads();
}

void ParameterShards::refresh(size_t param) {
  at::NoGradGuard no_grad;
  gather_.forget(param);
  if (const auto gather = begin_refresh(param)) gather->wait();
  if (wholes_[param].persistent) finish(param);
  give_back_part(param);
}

// Of a persistent parameter: the gather into the whole that is here, or one that finish() ends.
comm::WorkPtr ParameterShards::begin_refresh(size_t param) {
  const Whole& whole = wholes_[param];
  DS_CHECK(whole.persistent || !whole.here, "'{}' is gathered while its shards change",
           parameters_[param].name);
  if (!whole.persistent || !whole.storage || parameters_[param].tensor.numel() == 0) return nullptr;
  if (whole.here) return begin_gather(param, /*exact=*/true);
  start(param, /*exact=*/true);
  return nullptr;
}

void ParameterShards::keep_part_of(size_t param) {
  at::NoGradGuard no_grad;
  DS_CHECK(wholes_[param].here, "'{}' is not gathered", parameters_[param].name);
  const partition::Piece own = own_piece(param);
  gather_.forget(param);
  if (wholes_[param].storage && own.count > 0) {
    const at::Tensor values = padded(param).narrow(0, own.begin, own.count);
    if (options_.keep_coded) {
      const at::Tensor all = part(param);
      all.narrow(0, 0, own.count).copy_(values);
      set_part(param, all);
    } else {
      store_.write(own.shard_offset, values);
    }
  }
  if (listener_ && own.count > 0) listener_(own);
}

void ParameterShards::add_bytes(StateBytes& bytes) const {
  int64_t persistent = 0;  // in buffers of the pool, but not for a while
  for (const Whole& whole : wholes_)
    if (whole.persistent && whole.buffer.defined()) persistent += static_cast<int64_t>(whole.buffer.nbytes());
  bytes.parameters += static_cast<int64_t>(store_.memory().nbytes()) + gather_.bytes_kept() + persistent;
  if (coded_.defined()) bytes.parameters += static_cast<int64_t>(coded_.nbytes());
  bytes.gathered += pool_.bytes_in_use() + pool_.bytes_idle() - persistent;
  bytes.on_disk += store_.bytes_on_disk();
}

}  // namespace deepspeed::zero
