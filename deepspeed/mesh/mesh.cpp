#include "deepspeed/mesh/mesh.h"

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::mesh {

Mesh::Mesh(Dims dims) : dims_(dims), extents_{dims.pp, dims.dp, dims.sp, dims.tp} {
  const std::array<const char*, kAxes> names{"pipeline", "data", "sequence", "tensor"};
  int64_t world = 1;
  for (int axis = 0; axis < kAxes; ++axis) {
    DS_CHECK(extents_[axis] >= 1, "mesh: the {} parallel size is {}, it must be at least 1", names[axis],
             extents_[axis]);
    world *= extents_[axis];
    DS_CHECK(world <= (int64_t{1} << 30), "mesh: {} x {} x {} x {} ranks are too many", dims.pp, dims.dp,
             dims.sp, dims.tp);
  }
  DS_CHECK(dims.ep >= 1, "mesh: the expert parallel size is {}, it must be at least 1", dims.ep);
  DS_CHECK(dims.dp * dims.sp % dims.ep == 0,
           "mesh: expert parallel size {} does not divide data x sequence = {} x {}", dims.ep, dims.dp,
           dims.sp);
}

Mesh Mesh::data_parallel(int world_size) { return fill(world_size, {}); }

Mesh Mesh::fill(int world_size, Dims dims) {
  const int64_t others = int64_t{dims.pp} * dims.sp * dims.tp;
  DS_CHECK(others >= 1 && world_size >= 1 && world_size % others == 0,
           "mesh: pipeline {} x sequence {} x tensor {} does not divide the world of {} ranks", dims.pp,
           dims.sp, dims.tp, world_size);
  dims.dp = static_cast<int>(world_size / others);
  return Mesh(dims);
}

int Mesh::coordinate(int rank, Axis axis) const {
  DS_CHECK(rank >= 0 && rank < world_size(), "mesh: rank {} is not in 0 ... {}", rank, world_size() - 1);
  for (int faster = kAxes - 1; faster > static_cast<int>(axis); --faster) rank /= extents_[faster];
  return rank % extent(axis);
}

int Mesh::rank_of(const std::array<int, kAxes>& coordinates) const {
  int rank = 0;
  for (int axis = 0; axis < kAxes; ++axis) {
    DS_CHECK(coordinates[axis] >= 0 && coordinates[axis] < extents_[axis],
             "mesh: coordinate {} is {}, not in 0 ... {}", axis, coordinates[axis], extents_[axis] - 1);
    rank = rank * extents_[axis] + coordinates[axis];
  }
  return rank;
}

std::vector<int> Mesh::peers(int rank, const std::vector<Axis>& axes) const {
  std::array<bool, kAxes> free{};
  for (const Axis axis : axes) free[static_cast<int>(axis)] = true;
  std::vector<int> ranks{0};
  for (int axis = 0; axis < kAxes; ++axis) {
    const int fixed = coordinate(rank, static_cast<Axis>(axis));
    std::vector<int> next;
    for (const int prefix : ranks) {
      for (int c = free[axis] ? 0 : fixed; c < (free[axis] ? extents_[axis] : fixed + 1); ++c) {
        next.push_back(prefix * extents_[axis] + c);
      }
    }
    ranks = std::move(next);
  }
  return ranks;
}

std::vector<std::vector<int>> Mesh::partition(const std::vector<Axis>& axes) const {
  std::vector<std::vector<int>> groups;
  std::vector<bool> placed(world_size());
  for (int rank = 0; rank < world_size(); ++rank) {
    if (placed[rank]) continue;
    groups.push_back(peers(rank, axes));
    for (const int member : groups.back()) placed[member] = true;
  }
  return groups;
}

std::vector<int> Mesh::expert_parallel_ranks(int rank) const {
  return dims_.data_before_expert ? strided(rank) : consecutive(rank, dims_.ep);
}

std::vector<int> Mesh::expert_data_parallel_ranks(int rank) const {
  const int copies = dims_.dp * dims_.sp / dims_.ep;
  if (dims_.data_before_expert) return consecutive(rank, copies);
  return strided(rank);
}

std::vector<int> Mesh::consecutive(int rank, int length) const {
  const auto ranks = zero_ranks(rank);
  const auto position = std::find(ranks.begin(), ranks.end(), rank) - ranks.begin();
  const auto begin = ranks.begin() + position / length * length;
  return {begin, begin + length};
}

std::vector<int> Mesh::strided(int rank) const {
  const auto ranks = zero_ranks(rank);
  const int copies = dims_.dp * dims_.sp / dims_.ep;
  const int stride = dims_.data_before_expert ? copies : dims_.ep;
  const auto position = std::find(ranks.begin(), ranks.end(), rank) - ranks.begin();
  std::vector<int> result;
  for (size_t i = position % stride; i < ranks.size(); i += stride) result.push_back(ranks[i]);
  return result;
}

std::string Mesh::describe(int rank) const {
  return fmt::format("pp{} dp{} sp{} tp{}", coordinate(rank, Axis::kPipeline), coordinate(rank, Axis::kData),
                     coordinate(rank, Axis::kSequence), coordinate(rank, Axis::kTensor));
}

}  // namespace deepspeed::mesh
