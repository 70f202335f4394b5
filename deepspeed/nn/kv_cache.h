// What attention remembers between calls of a generation: keys and values of earlier positions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace deepspeed::nn {

class KvCache {
 public:
  virtual ~KvCache() = default;
  /// Positions already held, the same for every layer between two forwards.
  virtual int64_t length() const = 0;
  /// Adds the new positions' keys and values [B, Hkv, T, D] of one layer and returns all positions' [B, Hkv,
  /// S, D].
  virtual std::pair<at::Tensor, at::Tensor> append(size_t layer, const at::Tensor& keys,
                                                   const at::Tensor& values) = 0;
  /// Called once a forward, after its last layer: `count` further positions are now held.
  virtual void advance(int64_t count) = 0;
};

/// One growing buffer a layer, sized for `capacity` positions when first used.
class ContiguousKvCache : public KvCache {
 public:
  ContiguousKvCache(size_t layers, int64_t capacity);
  int64_t length() const override { return length_; }
  std::pair<at::Tensor, at::Tensor> append(size_t layer, const at::Tensor& keys,
                                           const at::Tensor& values) override;
  void advance(int64_t count) override { length_ += count; }

 private:
  int64_t capacity_, length_ = 0;
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_;
};

}  // namespace deepspeed::nn
