// Which kernels a packed product takes.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/ops/cpu/packed_kernel.h"
#include "deepspeed/ops/packed_linear.h"

namespace deepspeed::ops {

struct PackedPath {
  enum Kind { kRows, kBf16Pairs, kBf16Tiles, kInt8Tiles };
  const char* name;
  const cpu::PackedKernels* kernels;
  Kind kind;
  bool tiles() const { return kind == kBf16Tiles || kind == kInt8Tiles; }
};

/// The one that packed_linear takes for so many rows.
PackedPath packed_path(const PackedFormat& format, int64_t rows);

/// All that this processor can run for the format, whatever DS_FORCE_ISA says.
std::vector<PackedPath> packed_paths(const PackedFormat& format);

/// packed_linear by a path of these.
at::Tensor packed_linear_by(const PackedPath& path, const at::Tensor& x, const PackedWeight& weight,
                            const PackedEpilogue& epilogue = {});

}  // namespace deepspeed::ops
