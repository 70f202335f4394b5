// Rotary position embedding.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace deepspeed::ops {

struct RotaryOptions {
  double theta = 10000;    // base of the wavelengths
  int64_t rotary_dim = 0;  // how many leading elements of a head are turned (even); 0 = all
  bool interleaved =
      false;  // pairs are (0,1), (2,3), ... as in GPT-J; else (i, i + rotary_dim/2) as in LLaMA
};

/// cos and sin of position * theta^(-2i/rotary_dim), each [length, rotary_dim/2] float32, positions from
/// `position_offset`. Compute once per forward and pass to every layer.
struct RotaryTable {
  at::Tensor cos, sin;
  RotaryOptions options;
};
RotaryTable rotary_table(int64_t head_dim, int64_t length, int64_t position_offset,
                         const RotaryOptions& options = {});
/// Angles that are no powers of a base.
struct RotaryAngles {
  std::vector<double> frequencies;  // radians a position, of each pair: rotary_dim/2 of them
  double amplitude = 1;             // of cos and sin: turned elements grow by it
  bool interleaved = false;
};
RotaryTable rotary_table(const RotaryAngles& angles, int64_t length, int64_t position_offset);
/// The table whose rows are those of `table` at `positions` [B,T] (int64), cos and sin [B,T,rotary_dim/2]:
/// for rows that hold several documents, whose positions start anew.
RotaryTable rotary_at(const RotaryTable& table, const at::Tensor& positions);

/// Turns x [B,H,T,D] by its positions: row t of the table (of batch row b, where it has batch rows) belongs
/// to x's position t; the table may be longer than T. float32, bfloat16, float16; any strides with unit last
/// stride; the result keeps x's memory order. Differentiable: the gradient is the turn backwards. Hugging
/// Face's rotate_half convention unless `interleaved`. Errors: base::Error for an odd or too large rotary_dim
/// and a table that is too short. Source: Su et al., "RoFormer" (2021); mirrors
/// csrc/transformer/inference/csrc/apply_rotary_pos_emb.cu.
at::Tensor rotary(const at::Tensor& x, const RotaryTable& table);
/// The same with a table made for this call.
at::Tensor rotary(const at::Tensor& x, int64_t position_offset, const RotaryOptions& options = {});

}  // namespace deepspeed::ops
