#include "deepspeed/inference/streamed_head.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <fmt/format.h>

#include <algorithm>

#include "deepspeed/ops/packed_linear.h"

namespace deepspeed::inference {

StreamedHead::StreamedHead(const nn::ParameterSpec& table, std::optional<at::Tensor> bias,
                           const HeadTiling& tiling, const nn::ParameterSource& source, WeightPlaces& places,
                           std::vector<zero::TensorUnit>& units)
    : bias_(std::move(bias)) {
  const int64_t rows = table.shape.at(0), width = table.shape.at(1),
                panel = 2 * ops::cpu::kPanel,  // what packed weights are filled up to
      most = std::max(panel, tiling.most / width / panel * panel);
  const auto place = tiling.packed ? std::nullopt : places.in_place(table);
  for (int64_t first = 0; first < rows; first += most) {
    Tile& tile = tiles_.emplace_back(Tile{first, std::min(most, rows - first), units.size(), {}, {}});
    std::vector<zero::StreamedTensor> tensors;
    if (place) {
      tile.dense = zero::without_memory({tile.rows, width}, table.dtype);
      const auto skipped = first * width * static_cast<int64_t>(tile.dense.element_size());
      tensors.push_back({tile.dense, place->file, place->offset + skipped});
    } else {
      // What is packed is rounded once, as in memory.
      const at::Tensor dense = at::empty({tile.rows, width}, tiling.packed ? at::kFloat : table.dtype);
      source.fill(table, first * width, dense.view({-1}));
      if (tiling.packed) {
        tile.packed =
            ops::PackedWeight::pack(dense, *tiling.packed, ops::WeightOrder::kOutIn,
                                    bias_ ? std::optional(bias_->narrow(0, first, tile.rows)) : std::nullopt);
        tensors = write_packed(*tile.packed, places);
      } else {
        tile.dense = dense;
        const auto written = places.write(dense);
        zero::drop_memory(dense);
        tensors.push_back({dense, written.file, written.offset});
      }
    }
    units.push_back(
        {fmt::format("the vocabulary head from token {} on", first), nullptr, std::move(tensors)});
  }
}

at::Tensor StreamedHead::multiply(const Tile& tile, const at::Tensor& hidden) const {
  if (tile.packed) return ops::packed_linear(hidden, *tile.packed);
  return at::linear(hidden, tile.dense,
                    bias_ ? std::optional(bias_->narrow(0, tile.first, tile.rows)) : std::nullopt);
}

at::Tensor StreamedHead::multiply(zero::StreamedTensors& tensors, const at::Tensor& hidden) const {
  std::vector<int64_t> shape = hidden.sizes().vec();
  shape.back() = tiles_.back().first + tiles_.back().rows;
  at::Tensor logits;
  for (const Tile& tile : tiles_) {
    tensors.acquire(tile.unit);
    const at::Tensor part = multiply(tile, hidden);
    tensors.release();
    if (tiles_.size() == 1) return part;
    if (!logits.defined()) logits = at::empty(shape, part.options());
    logits.narrow(-1, tile.first, tile.rows).copy_(part);
  }
  return logits;
}

std::vector<zero::StreamedTensor> write_packed(const ops::PackedWeight& weight, WeightPlaces& places) {
  std::vector<zero::StreamedTensor> tensors;
  for (const at::Tensor& tensor : {weight.packed(), weight.packed_scales()}) {
    if (!tensor.defined()) continue;
    const auto place = places.write(tensor);
    zero::drop_memory(tensor);
    tensors.push_back({tensor, place.file, place.offset});
  }
  return tensors;
}

}  // namespace deepspeed::inference
