#include "deepspeed/zero/streamed_tensors.h"

#include <ATen/ops/empty.h>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

c10::StorageImpl& storage_of(const at::Tensor& tensor) { return *tensor.storage().unsafeGetStorageImpl(); }

// The tensor's storage keeps its identity: whoever holds the tensor or a copy of it sees the values.
void lend(const at::Tensor& tensor, std::byte* memory) {
  storage_of(tensor).set_data_ptr_noswap(at::DataPtr(memory, at::kCPU));
  storage_of(tensor).set_nbytes(tensor.nbytes());
}

std::vector<StreamedUnit> units_of(const std::vector<TensorUnit>& units) {
  std::vector<StreamedUnit> out;
  for (const TensorUnit& unit : units) {
    StreamedUnit& added = out.emplace_back(StreamedUnit{unit.name, {}});
    for (const StreamedTensor& one : unit.tensors) {
      DS_CHECK(one.tensor.is_contiguous() && one.tensor.is_cpu(),
               "{} cannot be streamed: its tensors must be contiguous and on the CPU", unit.name);
      added.ranges.push_back({one.file, one.offset, one.tensor.nbytes()});
    }
  }
  return out;
}

}  // namespace

at::Tensor without_memory(at::IntArrayRef shape, at::ScalarType type) {
  at::Tensor tensor = at::empty({0}, type);
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous(shape);
  return tensor;
}

void drop_memory(const at::Tensor& tensor) {
  storage_of(tensor).set_data_ptr_noswap(at::DataPtr(nullptr, at::kCPU));
  storage_of(tensor).set_nbytes(0);
}

class StreamedTensors::Observer : public nn::BlockObserver {
 public:
  Observer(StreamedTensors& tensors, size_t unit) : tensors_(tensors), unit_(unit) {}
  void before_forward(nn::Block&) override { tensors_.acquire(unit_); }
  void after_forward(nn::Block&) override { tensors_.release(); }

 private:
  StreamedTensors& tensors_;
  size_t unit_;
};

StreamedTensors::StreamedTensors(std::vector<aio::File> files, const std::vector<TensorUnit>& units,
                                 const WeightStreamOptions& options)
    : stream_(std::move(files), units_of(units), options) {
  for (size_t i = 0; i < units.size(); ++i) {
    std::vector<at::Tensor>& tensors = tensors_.emplace_back();
    for (const StreamedTensor& one : units[i].tensors) {
      drop_memory(one.tensor);
      tensors.push_back(one.tensor);
    }
    if (units[i].block == nullptr) continue;
    observers_.emplace_back(units[i].block, std::make_shared<Observer>(*this, i));
    units[i].block->add_observer(observers_.back().second);
  }
}

StreamedTensors::~StreamedTensors() {
  if (held_)  // an error has left it; nothing more is to be read
    for (const at::Tensor& tensor : tensors_.at(*held_)) drop_memory(tensor);
  for (const auto& [block, observer] : observers_) block->remove_observer(observer.get());
}

void StreamedTensors::acquire(size_t unit) {
  release();  // what an error has left
  const std::vector<std::byte*> places = stream_.acquire(unit);
  for (size_t i = 0; i < places.size(); ++i) lend(tensors_.at(unit)[i], places[i]);
  held_ = unit;
}

void StreamedTensors::release() {
  if (!held_) return;
  for (const at::Tensor& tensor : tensors_[*std::exchange(held_, std::nullopt)]) drop_memory(tensor);
  stream_.release();
}

}  // namespace deepspeed::zero
