// A user's own layer as a Block, where it is declared: nn::Blocked<torch::nn::Linear>
// fc{torch::nn::LinearOptions(4, 2)};
#pragma once

#include <torch/nn/pimpl.h>

#include "deepspeed/nn/block.h"

namespace deepspeed::nn {

/// `Impl` is a torch::nn::Module with a forward; parameters keep their names, since this derives from it.
template <class Impl>
class BlockedImpl : public Impl, public Block {
 public:
  using Impl::Impl;
  torch::nn::Module& as_module() override { return *this; }

  template <class... Args>
  auto forward(Args&&... args) {
    return run([this](auto&&... x) { return Impl::forward(std::forward<decltype(x)>(x)...); },
               std::forward<Args>(args)...);
  }
};

/// Holder in the manner of torch::nn's own: copies share the layer. `Holder` is a torch::nn holder such as
/// torch::nn::Linear.
template <class Holder>
class Blocked : public torch::nn::ModuleHolder<BlockedImpl<typename Holder::ContainedType>> {
 public:
  using torch::nn::ModuleHolder<BlockedImpl<typename Holder::ContainedType>>::ModuleHolder;
};

}  // namespace deepspeed::nn
