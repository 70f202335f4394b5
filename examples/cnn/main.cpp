// A plain torch::nn::Module under DeepSpeed: a small convolutional net learns to tell circles from crosses
// that it draws itself. Run it alone or, for several ranks with ZeRO-2, as `deepspeed --num_accelerators 2
// example_cnn`.
#include <torch/nn/functional.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cstdio>

#include "deepspeed/engine/initialize.h"

namespace {

constexpr int64_t kSize = 16;

// Sample i: a 1 x 16 x 16 picture of a ring (label 0) or a cross (label 1) at some place, in noise; always
// the same.
class Shapes : public deepspeed::data::Dataset {
 public:
  int64_t size() const override { return 2048; }
  std::vector<at::Tensor> get(int64_t index) const override {
    auto uniform = [&](uint64_t i) {
      return deepspeed::accel::uniform({42, static_cast<uint64_t>(index)}, i);
    };
    const int64_t label = index % 2;
    const float cx = 5 + 6 * uniform(0), cy = 5 + 6 * uniform(1), r = 2.5f + 2 * uniform(2);
    at::Tensor picture = at::empty({1, kSize, kSize});
    float* out = picture.data_ptr<float>();
    for (int64_t y = 0; y < kSize; ++y)
      for (int64_t x = 0; x < kSize; ++x) {
        const float dx = static_cast<float>(x) - cx, dy = static_cast<float>(y) - cy, d = std::hypot(dx, dy);
        const bool ring = std::abs(d - r) < 0.8f,
                   cross = d < r && std::min(std::abs(dx), std::abs(dy)) < 0.8f;
        out[y * kSize + x] = ((label == 0 ? ring : cross) ? 1.f : 0.f) +
                             0.6f * uniform(3 + static_cast<uint64_t>(y * kSize + x));
      }
    return {picture, at::scalar_tensor(label, at::kLong)};
  }
};

struct Net : torch::nn::Module {
  torch::nn::Conv2d conv1{torch::nn::Conv2dOptions(1, 8, 3).padding(1)},
      conv2{torch::nn::Conv2dOptions(8, 16, 3).padding(1)};
  torch::nn::Linear fc{16 * kSize * kSize / 16, 2};
  Net() {
    register_module("conv1", conv1);
    register_module("conv2", conv2);
    register_module("fc", fc);
  }
  at::Tensor forward(at::Tensor x) {
    x = at::max_pool2d(at::relu(conv1->forward(x)), 2);
    x = at::max_pool2d(at::relu(conv2->forward(x)), 2);
    return fc->forward(x.flatten(1));
  }
};

constexpr const char* kConfig = R"({
  "train_micro_batch_size_per_gpu": 32,
  "optimizer": {"type": "AdamW", "params": {"lr": 2e-3}},
  "zero_optimization": {"stage": 2}
})";

}  // namespace

int main(int argc, char** argv) try {
  auto net = std::make_shared<Net>();
  auto [engine, optimizer, loader, scheduler] =
      deepspeed::initialize({.model = net, .config = kConfig, .training_data = std::make_shared<Shapes>()});
  double correct = 0, seen = 0;
  for (int step = 1; step <= 150; ++step) {
    const auto batch = loader->next();
    at::Tensor logits;
    const at::Tensor loss = engine->forward([&] {
      logits = net->forward(batch[0]);
      return at::cross_entropy_loss(logits, batch[1]);
    });
    engine->backward(loss);
    engine->step();
    if (step > 100) {
      correct += (logits.argmax(1) == batch[1]).sum().item<double>();
      seen += static_cast<double>(batch[1].numel());
    }
    if (step % 25 == 0 && engine->group().rank() == 0)
      std::printf("step %d  loss %.4f\n", step, loss.item<double>());
  }
  const double accuracy = correct / seen;
  if (engine->group().rank() == 0) std::printf("accuracy over the last 50 steps: %.3f\n", accuracy);
  return accuracy > 0.95 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "example_cnn: %s\n", error.what());
  return 1;
}
