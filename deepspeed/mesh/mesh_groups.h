// The process groups of one rank's place in a mesh.
#pragma once

#include "deepspeed/comm/group.h"
#include "deepspeed/mesh/mesh.h"

namespace deepspeed::mesh {

/// Groups of this rank along each axis. A group that spans the whole world is the world group itself; a group
/// of one rank needs no network.
struct MeshGroups {
  comm::GroupPtr world;
  comm::GroupPtr data;         // same pp, sp, tp
  comm::GroupPtr tensor;       // same pp, dp, sp
  comm::GroupPtr pipeline;     // same dp, sp, tp
  comm::GroupPtr sequence;     // same pp, dp, tp
  comm::GroupPtr zero;         // data x sequence
  comm::GroupPtr model;        // pipeline x tensor
  comm::GroupPtr expert;       // expert parallel
  comm::GroupPtr expert_data;  // same experts
};

/// Collective over the world group, whose size must equal the mesh's.
MeshGroups make_groups(const Mesh& mesh, const comm::GroupPtr& world);

}  // namespace deepspeed::mesh
