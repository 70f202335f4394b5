#include "deepspeed/mesh/mesh_groups.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "deepspeed/base/error.h"

namespace deepspeed::mesh {
namespace {

using RanksOf = std::function<std::vector<int>(int rank)>;

// Every rank of the world must take part in making every group, in one order.
comm::GroupPtr make(const Mesh& mesh, const comm::GroupPtr& world, const char* name,
                    const RanksOf& ranks_of) {
  comm::GroupPtr mine;
  std::vector<bool> placed(world->size());
  for (int rank = 0; rank < world->size(); ++rank) {
    if (placed[rank]) continue;
    const auto ranks = ranks_of(rank);
    if (ranks.size() == placed.size()) return world;
    for (const int member : ranks) placed[member] = true;
    const bool joined = std::find(ranks.begin(), ranks.end(), world->rank()) != ranks.end();
    auto group =
        world->new_group(ranks, joined ? fmt::format("{} of rank {}", name, ranks.front()) : std::string());
    if (group) mine = group;
  }
  return mine;
}

}  // namespace

MeshGroups make_groups(const Mesh& mesh, const comm::GroupPtr& world) {
  DS_CHECK(world->size() == mesh.world_size(),
           "the mesh has {} ranks (pp {} dp {} sp {} tp {}), the world {}", mesh.world_size(), mesh.dims().pp,
           mesh.dims().dp, mesh.dims().sp, mesh.dims().tp, world->size());
  MeshGroups g;
  g.world = world;
  g.data = make(mesh, world, "data", [&](int r) { return mesh.data_parallel_ranks(r); });
  g.tensor = make(mesh, world, "tensor", [&](int r) { return mesh.tensor_parallel_ranks(r); });
  g.pipeline = make(mesh, world, "pipeline", [&](int r) { return mesh.pipeline_parallel_ranks(r); });
  g.sequence = make(mesh, world, "sequence", [&](int r) { return mesh.sequence_parallel_ranks(r); });
  g.zero =
      mesh.dims().sp == 1 ? g.data : make(mesh, world, "zero", [&](int r) { return mesh.zero_ranks(r); });
  g.model = make(mesh, world, "model", [&](int r) { return mesh.model_parallel_ranks(r); });
  g.expert = make(mesh, world, "expert", [&](int r) { return mesh.expert_parallel_ranks(r); });
  g.expert_data = make(mesh, world, "expert-data", [&](int r) { return mesh.expert_data_parallel_ranks(r); });
  return g;
}

}  // namespace deepspeed::mesh
