#include "deepspeed/models/generate.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::models {
namespace {

// One draw from softmax(logits / temperature) over the top_k likeliest. logits [vocab] fp32.
int32_t draw(const at::Tensor& logits, const SamplingOptions& options, uint64_t step) {
  if (options.temperature <= 0) return static_cast<int32_t>(logits.argmax().item<int64_t>());
  const int64_t k = options.top_k > 0 ? std::min(options.top_k, logits.numel()) : logits.numel();
  auto [values, ids] = logits.topk(k);
  const at::Tensor cumulative = (values.to(at::kDouble) / options.temperature).softmax(0).cumsum(0);
  const double u = accel::uniform({options.seed, accel::hash_name("generate")}, step);
  const auto* c = cumulative.const_data_ptr<double>();
  const int64_t chosen = std::min<int64_t>(std::upper_bound(c, c + k, u) - c, k - 1);
  return static_cast<int32_t>(ids[chosen].item<int64_t>());
}

}  // namespace

std::vector<int32_t> generate(Decoder& model, const std::vector<int32_t>& prompt,
                              const SamplingOptions& options) {
  const auto& spec = model.spec();
  DS_CHECK(!prompt.empty(), "generation needs at least one prompt token");
  for (int32_t id : prompt)
    DS_CHECK(id >= 0 && id < spec.vocab, "prompt token {} is not in the vocabulary of {}", id, spec.vocab);
  at::NoGradGuard no_grad;
  const bool was_training = model.is_training();
  model.eval();
  const int64_t room = spec.max_positions - static_cast<int64_t>(prompt.size());
  const int64_t count = std::min(options.max_new_tokens, room);
  const auto empty_cache = [&] {
    return nn::ContiguousKvCache(static_cast<size_t>(spec.layers),
                                 static_cast<int64_t>(prompt.size()) + std::max<int64_t>(count, 0));
  };
  nn::ContiguousKvCache cache = empty_cache();

  std::vector<int32_t> made;
  std::vector<int64_t> all(prompt.begin(), prompt.end());
  const at::Device device = nn::device_of(model);
  const auto batch_of = [&](at::ArrayRef<int64_t> ids) { return at::tensor(ids).unsqueeze(0).to(device); };
  at::Tensor input = batch_of(all);
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor logits =
        model.logits(input, &cache).select(1, input.size(1) - 1).squeeze(0).to(at::kCPU, at::kFloat);
    made.push_back(draw(logits, options, static_cast<uint64_t>(i)));
    if (made.back() == options.stop_token) break;
    all.push_back(made.back());
    if (spec.rope.keeps_keys(cache.length(), static_cast<int64_t>(all.size()))) {
      input = batch_of(all.back());
    } else {  // keys turn otherwise from this length on
      cache = empty_cache();
      input = batch_of(all);
    }
  }
  model.train(was_training);
  return made;
}

}  // namespace deepspeed::models
