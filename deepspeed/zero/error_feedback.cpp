#include "deepspeed/zero/error_feedback.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>

#include <charconv>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/coded_tensor.h"

namespace deepspeed::zero {
namespace {

constexpr ops::BlockCode kErrorCode{.bits = 8, .symmetric = true, .block = 512};
constexpr const char* kReductions = "reductions";  // [2 n]: a bucket, and its number of reductions

at::Tensor decoded(const at::Tensor& coded, const at::Tensor& like) {
  DS_CHECK(coded.numel() == ops::coded_bytes(kErrorCode, like.numel()),
           "an error of {} bytes is kept for a bucket of {} elements: the checkpoint is damaged",
           coded.numel(), like.numel());
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

std::map<std::string, at::Tensor> ErrorFeedback::memory() const {
  std::map<std::string, at::Tensor> memory;
  std::vector<int64_t> reductions;
  for (const auto& [bucket, error] : errors_) {
    reductions.insert(reductions.end(), {static_cast<int64_t>(bucket), error.reductions});
    if (error.coded.defined()) memory[std::to_string(bucket)] = error.coded;
  }
  if (!reductions.empty()) memory[kReductions] = at::tensor(reductions, at::kLong);
  return memory;
}

void ErrorFeedback::set_memory(const std::map<std::string, at::Tensor>& memory) {
  errors_.clear();
  const auto counted = memory.find(kReductions);
  if (counted == memory.end()) {
    DS_CHECK(memory.empty(), "errors of gradients are kept without their number of reductions");
    return;
  }
  const at::Tensor& counts = counted->second;
  DS_CHECK(counts.scalar_type() == at::kLong && counts.dim() == 1 && counts.numel() % 2 == 0,
           "numbers of reductions have the wrong format");
  for (int64_t i = 0; i < counts.numel(); i += 2)
    errors_[static_cast<size_t>(counts[i].item<int64_t>())].reductions = counts[i + 1].item<int64_t>();
  for (const auto& [name, coded] : memory) {
    if (name == kReductions) continue;
    size_t bucket = 0;
    std::from_chars(name.data(), name.data() + name.size(), bucket);
    const auto error = errors_.find(bucket);
    DS_CHECK(error != errors_.end() && std::to_string(bucket) == name && coded.scalar_type() == at::kByte &&
                 coded.dim() == 1,
             "'{}' is no error of a bucket", name);
    error->second.coded = coded.clone();
  }
}

}  // namespace deepspeed::zero
