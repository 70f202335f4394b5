#include "deepspeed/inference/perplexity.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/infer_inputs.h"
#include "deepspeed/inference/long_text.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {
namespace {

// Positions whose logits exist at once.
constexpr int64_t kAtOnce = 64;

// log p of targets [n] by hidden states [n, C], in fp64.
at::Tensor log_probabilities(models::Decoder& model, const at::Tensor& hidden, const at::Tensor& targets) {
  const at::Tensor logits = model.logits_of(hidden).to(at::kFloat);
  const at::Tensor all = at::logsumexp(logits, {-1});
  return (logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) - all).to(at::kDouble);
}

}  // namespace

Perplexity perplexity(InferenceEngine& engine, const std::vector<int32_t>& ids, int64_t window, int32_t first,
                      int64_t most) {
  at::NoGradGuard no_grad;
  models::Decoder& model = engine.decoder();
  const models::ArchSpec& spec = engine.spec();
  DS_CHECK(window >= 4 && window <= spec.max_positions,
           "windows of {} tokens: want 4 to {}, the model's positions", window, spec.max_positions);
  const auto count = static_cast<int64_t>(ids.size());
  DS_CHECK(count >= window, "{} tokens are fewer than a window of {}", count, window);
  check_tokens(engine, ids);
  const int64_t whole = count / window, windows = most > 0 ? std::min(most, whole) : whole;
  const at::Tensor all =
      at::tensor(at::ArrayRef(ids.data(), static_cast<size_t>(windows * window)), at::kLong)
          .to(nn::device_of(model));
  double sum = 0, squares = 0;
  int64_t scored = 0;
  for (int64_t i = 0; i < windows; ++i) {
    const at::Tensor own = all.narrow(0, i * window, window);
    at::Tensor seen = own.clone();
    if (first >= 0) seen[0] = first;
    const at::Tensor hidden = model.hidden_states(seen.unsqueeze(0))[0];
    for (int64_t at = window / 2; at + 1 < window; at += kAtOnce) {
      const int64_t now = std::min(kAtOnce, window - 1 - at);
      const at::Tensor log_p =
          log_probabilities(model, hidden.narrow(0, at, now), own.narrow(0, at + 1, now));
      sum -= log_p.sum().item<double>();
      squares += log_p.square().sum().item<double>();
      scored += now;
    }
  }
  const auto n = static_cast<double>(scored);
  const double mean = sum / n, variance = std::max(0.0, squares / n - mean * mean);
  return {std::exp(mean), std::exp(mean) * std::sqrt(variance / n), scored};
}

void measure_perplexity(InferenceEngine& engine, const InferOptions& options) {
  const std::vector<int32_t> ids = read_tokens(engine, options.perplexity);
  const Perplexity found =
      perplexity(engine, ids, static_cast<int64_t>(options.perplexity_window), token_of_beginning(engine),
                 static_cast<int64_t>(options.perplexity_windows));
  if (options.json) {
    print(
        config::Json({{"perplexity", found.value}, {"error", found.error}, {"tokens", found.tokens}}).dump() +
        "\n");
    return;
  }
  print(fmt::format("perplexity {:.4f} +- {:.4f} of {} tokens\n", found.value, found.error, found.tokens));
}

}  // namespace deepspeed::inference
