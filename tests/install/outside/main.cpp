// What the README shows: a user's own module under an installed deepspeed.
#include <torch/nn/modules/linear.h>

#include <cstdio>

#include "deepspeed/engine/initialize.h"

int main() {
  auto net = std::make_shared<torch::nn::LinearImpl>(4, 1);
  auto ready = deepspeed::initialize(
      {.model = net,
       .config = R"({"train_batch_size": 8, "optimizer": {"type": "Adam", "params": {"lr": 0.05}}})"});
  double first = 0, last = 0;
  for (int step = 0; step < 50; ++step) {
    const at::Tensor x = at::rand({8, 4});
    const auto loss = ready.engine->forward([&] { return (net->forward(x) - x.sum(1, true)).pow(2).mean(); });
    ready.engine->backward(loss);
    ready.engine->step();
    (step == 0 ? first : last) = loss.item<double>();
  }
  std::printf("loss %.4f -> %.4f\n", first, last);
  return last < first ? 0 : 1;
}
