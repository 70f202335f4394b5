#include "deepspeed/zero/memory_pieces.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

// Memory for a tensor that has none, for as long as it lives.
class Lent {
 public:
  explicit Lent(at::Tensor& tensor)
      : tensor_(tensor), own_(std::exchange(tensor, at::empty({tensor.numel()}, tensor.options()))) {}
  ~Lent() { tensor_ = own_; }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;

 private:
  at::Tensor& tensor_;
  at::Tensor own_;
};

}  // namespace

bool has_no_memory(const at::Tensor& tensor) { return tensor.numel() > 0 && tensor.storage().nbytes() == 0; }

void step_in_memory(optim::Optimizer& optimizer, const ModelValues& values, size_t group, size_t piece,
                    double grad_scale) {
  optim::Piece& stepped = optimizer.groups()[group].pieces[piece];
  at::Tensor& copy = stepped.low_precision_copy;
  if (!copy.defined() || !has_no_memory(copy)) return optimizer.step_piece(group, piece, grad_scale);
  if (!stepped.grad.defined()) return;
  const Lent memory(copy);
  optimizer.step_piece(group, piece, grad_scale);
  values.publish(group, piece, copy);
}

bool MemoryPieces::has_stored_master(size_t group, size_t piece) const {
  return has_no_memory(optimizer_.groups().at(group).pieces.at(piece).param);
}

void MemoryPieces::change_stored(size_t group, size_t piece, const std::function<void()>& change) {
  at::NoGradGuard no_grad;
  at::Tensor& param = optimizer_.groups()[group].pieces[piece].param;
  const Lent memory(param);
  values_.read(group, piece, param);
  change();
  values_.publish(group, piece, param);
}

void MemoryPieces::step(size_t group, size_t piece, double grad_scale) {
  if (!has_stored_master(group, piece)) {
    step_in_memory(optimizer_, values_, group, piece, grad_scale);
    if (!values_.publish_all) return;
    // It is on its way back while the next is stepped.
    const optim::Piece& stepped = optimizer_.groups()[group].pieces[piece];
    values_.publish(group, piece,
                    stepped.low_precision_copy.defined() ? stepped.low_precision_copy : stepped.param);
    return;
  }
  if (!optimizer_.groups()[group].pieces[piece].grad.defined()) return;
  change_stored(group, piece, [&] { optimizer_.step_piece(group, piece, grad_scale); });
}

void MemoryPieces::show(size_t group, size_t piece, const std::function<void(const PieceInMemory&)>& visit) {
  const auto shown = [&] {
    visit(
        {group, piece, optimizer_.groups()[group].pieces[piece].param, optimizer_.piece_state(group, piece)});
  };
  if (has_stored_master(group, piece))
    change_stored(group, piece, shown);
  else
    shown();
}

at::Tensor MemoryPieces::values(size_t group, size_t piece, const std::string& state) const {
  if (state != kMasterCopy || !has_stored_master(group, piece))
    return values_in_memory(optimizer_, group, piece, state);
  const at::Tensor& param = optimizer_.groups()[group].pieces[piece].param;
  at::Tensor copy = at::empty({param.numel()}, param.options());
  values_.read(group, piece, copy);
  return copy;
}

void MemoryPieces::write(size_t group, size_t piece, const std::string& state, int64_t begin,
                         const at::Tensor& values) {
  const auto change = [&] {
    values_in_memory(optimizer_, group, piece, state).narrow(0, begin, values.numel()).copy_(values);
  };
  if (state != kMasterCopy || !has_stored_master(group, piece)) return change();
  change_stored(group, piece, change);
  finish();
}

void MemoryPieces::finish() const {
  if (values_.finish) values_.finish();
}

}  // namespace deepspeed::zero
