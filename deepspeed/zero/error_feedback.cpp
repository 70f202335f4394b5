#include "deepspeed/zero/error_feedback.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "deepspeed/zero/coded_tensor.h"

namespace deepspeed::zero {
namespace {

constexpr ops::BlockCode kErrorCode{.bits = 8, .symmetric = true, .block = 512};

at::Tensor decoded(const at::Tensor& coded, const at::Tensor& like) {
  at::Tensor values = at::empty_like(like, like.options().dtype(at::kFloat));
  const uint8_t* bytes = coded.const_data_ptr<uint8_t>();
  decode(kErrorCode, {&bytes, 1}, values);
  return values;
}

}  // namespace

at::Tensor ErrorFeedback::corrected(size_t bucket, const at::Tensor& gradient) const {
  const auto error = errors_.find(bucket);
  if (error == errors_.end() || !error->second.coded.defined()) return gradient.to(at::kFloat);
  return decoded(error->second.coded, gradient).add_(gradient);
}

void ErrorFeedback::learn(size_t bucket, const at::Tensor& corrected, const at::Tensor& sent) {
  Error& error = errors_[bucket];
  at::Tensor lost = corrected.sub(sent).nan_to_num_(0.0, 0.0, 0.0).mul_(1 - config_.err_beta);
  if (error.coded.defined()) lost.add_(decoded(error.coded, lost), config_.err_beta);
  if (++error.reductions % config_.reset_after == 0) return error.coded.reset();
  if (!error.coded.defined())
    error.coded = at::empty({ops::coded_bytes(kErrorCode, lost.numel())}, at::kByte);
  encode(kErrorCode, lost, error.coded.mutable_data_ptr<uint8_t>());
}

}  // namespace deepspeed::zero
