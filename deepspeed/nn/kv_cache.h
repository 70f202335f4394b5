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

/// One buffer a layer, of `capacity` positions.
class ContiguousKvCache : public KvCache {
 public:
  ContiguousKvCache(size_t layers, int64_t capacity);
  int64_t length() const override { return length_; }
  std::pair<at::Tensor, at::Tensor> append(size_t layer, const at::Tensor& keys,
                                           const at::Tensor& values) override;
  void advance(int64_t count) override { length_ += count; }

  int64_t capacity() const { return capacity_; }
  /// Makes room for so many positions; what is held stays.
  void reserve(int64_t capacity);
  /// Between two forwards: row i of the batch becomes what row rows[i] was. A row may go on as several, or be
  /// left out.
  void select_rows(const std::vector<int64_t>& rows);

 private:
  // Calls change(held) for each buffer in use, which returns another one.
  template <class Change>
  void replace_buffers(const Change& change);

  int64_t capacity_, length_ = 0;
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_;
};

}  // namespace deepspeed::nn
