// A big linear layer as tiles that are Blocks of their own: under ZeRO stage 3 one tile is gathered at a
// time, so that a layer fits that would not fit whole. Source: memory-centric tiling of Rajbhandari et al.,
// "ZeRO-Infinity: Breaking the GPU Memory Wall for Extreme Scale Deep Learning" (SC21), section 5.1.3;
// mirrors DeepSpeed's runtime/zero/tiling.py (TiledLinear).
#pragma once

#include <memory>
#include <vector>

#include "deepspeed/nn/linear.h"

namespace deepspeed::nn {

struct TiledLinearOptions {
  DenseOptions linear;
  int64_t in_splits = 1, out_splits = 1;
};

/// Parameters "linears.<out>.<in>.weight" and, at the last input tile of each row of tiles, ".bias".
class TiledLinear : public BlockModule<TiledLinear> {
 public:
  /// base::Error unless 1 <= splits <= features on both sides. Tiles differ by one feature at most.
  explicit TiledLinear(const TiledLinearOptions& options);

  /// x [..., in] -> [..., out]
  at::Tensor compute(const at::Tensor& x);
  /// Takes over the values of a linear layer of the same sizes: weight [out, in] or [in, out] as the options
  /// say, bias [out] or undefined. Tiles must have memory.
  void copy_from(const at::Tensor& weight, const at::Tensor& bias);

 private:
  struct Range {
    int64_t begin, count;
  };
  static std::vector<Range> split(const char* what, int64_t features, int64_t splits);

  WeightOrder order_;
  std::vector<Range> in_, out_;
  std::vector<std::vector<std::shared_ptr<Linear>>> tiles_;  // [out][in]
};

}  // namespace deepspeed::nn
