// Activation checkpointing on a 24-layer GPT-2: peak activation memory and time of forward + backward, with
// and without recomputation in turn.   recompute_bench [pairs]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "deepspeed/accel/memory.h"
#include "deepspeed/accel/tensor_memory.h"
#include "deepspeed/base/cpu_features.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/recompute/recompute.h"

namespace {

using namespace deepspeed;

constexpr int64_t kBatch = 4, kLength = 256, kVocab = 8192;

struct Model {
  Model(bool recomputed, at::ScalarType dtype) {
    const nlohmann::json config{{"model_type", "gpt2"}, {"vocab_size", kVocab}, {"n_positions", kLength},
                                {"n_embd", 384},        {"n_layer", 24},        {"n_head", 6}};
    rng = std::make_shared<accel::Rng>(1);
    decoder = std::make_shared<models::Decoder>(models::parse_arch_spec(config, "config.json"), rng);
    auto parameters = nn::list_parameters(*decoder);
    for (auto& parameter : parameters) parameter.dtype = dtype;
    nn::DenseMaterializer().materialize(parameters, nn::InitSource(1));
    for (const auto& p : decoder->parameters()) p.mutable_grad() = at::zeros_like(p);
    if (recomputed) recompute::recompute_blocks(*decoder, recompute::layers_of(*decoder), {.rng = rng});
  }
  struct Cost {
    double seconds;
    int64_t bytes;
    double loss;
  };
  Cost run(const at::Tensor& ids) const {
    const accel::TensorMemory memory;
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor loss = decoder->forward(ids, ids);
    loss.backward();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    return {took.count(), memory.peak_bytes(), loss.item<double>()};
  }
  std::shared_ptr<accel::Rng> rng;
  std::shared_ptr<models::Decoder> decoder;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void compare(at::ScalarType dtype, int pairs) {
  const Model plain(false, dtype), again(true, dtype);
  const at::Tensor ids = at::randint(kVocab, {kBatch, kLength}, at::kLong);
  plain.run(ids), again.run(ids);
  std::vector<double> ratios, seconds;
  Model::Cost a{}, b{};
  for (int i = 0; i < pairs; ++i) {
    a = plain.run(ids), b = again.run(ids);
    ratios.push_back(b.seconds / a.seconds);
    seconds.push_back(a.seconds);
  }
  fmt::print("{:<9} {:>10.1f} {:>12.1f} {:>8.3f} {:>10.3f} {:>8.3f}   {}\n", c10::toString(dtype),
             static_cast<double>(a.bytes) / 1e6, static_cast<double>(b.bytes) / 1e6,
             static_cast<double>(b.bytes) / static_cast<double>(a.bytes), median(seconds), median(ratios),
             a.loss == b.loss ? "same" : "differ");
}

}  // namespace

int main(int argc, char** argv) {
  const int pairs = argc > 1 ? std::atoi(argv[1]) : 5;
  accel::keep_freed_memory();
  at::set_num_threads(1);
  fmt::print("24 layers, hidden 384, {} x {} tokens, dropout 0.1, 1 thread, medians of {} pairs; {}\n",
             kBatch, kLength, pairs, base::cpu_features().model);
  fmt::print("{:<9} {:>10} {:>12} {:>8} {:>10} {:>8}   {}\n", "type", "plain MB", "recomputed", "ratio",
             "plain s", "ratio", "losses");
  compare(at::kFloat, pairs);
  compare(at::kBFloat16, pairs);
}
