// Rank coordinates of a parallel job as a value; every rank list is a pure function of it.
#pragma once

#include <array>
#include <string>
#include <vector>

namespace deepspeed::mesh {

/// Axes, slowest first: the tensor-parallel neighbour is the next rank, pipeline stages are furthest apart
/// (DeepSpeed's PipeModelDataParallelTopology: pipe, data, model). The data-parallel axis is dp; expert
/// parallelism divides it (DeepSpeed, utils/groups.py), so ep is no factor of the world size.
enum class Axis { kPipeline, kData, kSequence, kTensor };
inline constexpr int kAxes = 4;

struct Dims {
  int pp = 1;
  int dp = 1;
  int sp = 1;
  int tp = 1;
  int ep = 1;                       // expert parallel: divides dp * sp
  bool data_before_expert = false;  // DeepSpeed's use_data_before_expert_parallelism
};

class Mesh {
 public:
  /// Throws base::Error when a dimension is below 1 or ep does not divide dp * sp.
  explicit Mesh(Dims dims);
  /// All ranks data-parallel.
  static Mesh data_parallel(int world_size);
  /// dp fills the world; an Error when the other dimensions do not divide it.
  static Mesh fill(int world_size, Dims dims);

  const Dims& dims() const { return dims_; }
  int world_size() const { return dims_.pp * dims_.dp * dims_.sp * dims_.tp; }
  int extent(Axis axis) const { return extents_[static_cast<int>(axis)]; }
  int coordinate(int rank, Axis axis) const;
  /// The rank with these coordinates, in the order of Axis.
  int rank_of(const std::array<int, kAxes>& coordinates) const;

  /// Ranks that differ from `rank` along these axes only, ascending; `rank` is among them.
  std::vector<int> peers(int rank, const std::vector<Axis>& axes) const;
  /// The partition of the world into such lists, ordered by their first ranks.
  std::vector<std::vector<int>> partition(const std::vector<Axis>& axes) const;

  std::vector<int> data_parallel_ranks(int rank) const { return peers(rank, {Axis::kData}); }
  std::vector<int> tensor_parallel_ranks(int rank) const { return peers(rank, {Axis::kTensor}); }
  std::vector<int> pipeline_parallel_ranks(int rank) const { return peers(rank, {Axis::kPipeline}); }
  std::vector<int> sequence_parallel_ranks(int rank) const { return peers(rank, {Axis::kSequence}); }
  /// Data and sequence axes together: ranks with the same parameters, over which ZeRO shards and reduces.
  std::vector<int> zero_ranks(int rank) const { return peers(rank, {Axis::kData, Axis::kSequence}); }
  /// Stage and tensor axes together: one replica of the model.
  std::vector<int> model_parallel_ranks(int rank) const {
    return peers(rank, {Axis::kPipeline, Axis::kTensor});
  }

  /// The ep ranks among zero_ranks(rank) that together hold all experts: neighbours there (stride 1), or
  /// stride |zero ranks| / ep when data_before_expert.
  std::vector<int> expert_parallel_ranks(int rank) const;
  /// The ranks among zero_ranks(rank) that hold the same experts.
  std::vector<int> expert_data_parallel_ranks(int rank) const;

  /// "pp0 dp1 sp0 tp3", for logs and errors.
  std::string describe(int rank) const;

 private:
  // Of zero_ranks(rank): the block of `length` neighbours, or every ep-th (copies-th) member, that holds
  // `rank`.
  std::vector<int> consecutive(int rank, int length) const;
  std::vector<int> strided(int rank) const;

  Dims dims_;
  std::array<int, kAxes> extents_;
};

}  // namespace deepspeed::mesh
