// How the parts of a parameter that the ranks keep become the whole on every rank: as they are, in 8 bits
// (qwZ), after the first time from a second copy within a host (hpZ), and host by host (MiCS). Source: Wang
// et al., "ZeRO++: Extremely Efficient Collective Communication for Giant Model Training" (2023),
// sections 3.1 and 3.2; DeepSpeed's runtime/zero/partition_parameters.py (all_gather_coalesced,
// _partition_param_sec); Zhang et al., "MiCS: Near-linear Scaling for Training Gigantic Model on Public
// Cloud" (2022), section 3.3.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/mesh/sub_groups.h"
#include "deepspeed/ops/block_quantize.h"

namespace deepspeed::zero {

class PartGather {
 public:
  struct Options {
    /// Parts travel in this code and every rank, the owner too, uses what it stands for.
    std::optional<ops::BlockCode> code;
    /// W/S neighbouring parts, as they travelled, are kept on each of these S ranks: later gathers of the
    /// same values are among them, and give the same bits.
    comm::GroupPtr secondary;
    /// Parts are exchanged between hosts first and then within them, each host once (MiCS).
    std::optional<mesh::SubGroups> hosts;
  };

  PartGather(comm::GroupPtr group, size_t parameters, Options options);

  /// Starts to fill whole[W * n] with the ranks' part[n], which is not looked at where has_copy(). Both are
  /// left alone until the Work is done. Collective, every rank in the same order.
  comm::WorkPtr start(size_t param, const at::Tensor& whole, const at::Tensor& part);
  /// The same of a part that is kept in the code.
  comm::WorkPtr start_coded(size_t param, const at::Tensor& whole, const at::Tensor& message);
  /// The same, but never in a code or from the second copy.
  comm::WorkPtr start_exact(const at::Tensor& whole, const at::Tensor& part);

  /// Whether the next start() takes the second copy.
  bool has_copy(size_t param) const { return kept_[param].valid; }
  /// The parameter's values have changed: the next gather is from the parts. Every rank says so.
  void forget(size_t param) { kept_[param].valid = false; }
  void forget_all();

  /// Bytes of second copies that this rank keeps.
  int64_t bytes_kept() const;

 private:
  struct Kept {
    at::Tensor bytes;
    bool valid = false;
  };

  comm::WorkPtr all_gather(const at::Tensor& messages, const at::Tensor& own) const;
  at::Tensor message_of(const at::Tensor& part) const;
  void keep(size_t param, const at::Tensor& messages);
  void decode_all(const at::Tensor& messages, const at::Tensor& whole) const;

  comm::GroupPtr group_;
  Options options_;
  std::vector<Kept> kept_;  // by parameter
};

}  // namespace deepspeed::zero
