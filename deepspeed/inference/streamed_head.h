// A vocabulary head whose table is read from a disk, tile by tile, whenever it is multiplied by.
#pragma once

#include <optional>
#include <vector>

#include "deepspeed/inference/weight_places.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/ops/packed_weight.h"
#include "deepspeed/zero/streamed_tensors.h"

namespace deepspeed::inference {

struct HeadTiling {
  std::optional<ops::PackOptions> packed;  // nothing: tiles stay dense
  int64_t most = 0;                        // elements of a tile; at least one panel of rows is taken
};

class StreamedHead {
 public:
  /// `table` is the head's, its own or the embedding's; `bias` as it is added. Appends a unit a tile to
  /// `units`; what the model's files do not hold as it is multiplied is written to `places`, for which memory
  /// holds one tile at a time.
  StreamedHead(const nn::ParameterSpec& table, std::optional<at::Tensor> bias, const HeadTiling& tiling,
               const nn::ParameterSource& source, WeightPlaces& places, std::vector<zero::TensorUnit>& units);

  /// hidden [..., C] -> [..., V], the bias added; `tensors` were made of the units.
  at::Tensor multiply(zero::StreamedTensors& tensors, const at::Tensor& hidden) const;

 private:
  struct Tile {
    int64_t first = 0, rows = 0;
    size_t unit = 0;
    at::Tensor dense;                         // [rows, C]
    std::optional<ops::PackedWeight> packed;  // in its place, bias included
  };
  at::Tensor multiply(const Tile& tile, const at::Tensor& hidden) const;

  std::vector<Tile> tiles_;
  std::optional<at::Tensor> bias_;
};

/// The tensors of a packed weight that are read, now written to `places` and without memory.
std::vector<zero::StreamedTensor> write_packed(const ops::PackedWeight& weight, WeightPlaces& places);

}  // namespace deepspeed::inference
