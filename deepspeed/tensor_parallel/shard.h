// AutoTP: any model of models/, made into one rank's part of it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/tensor_parallel/plan.h"

namespace deepspeed::tensor_parallel {

/// What this rank holds of a sharded model.
class Sharding {
 public:
  Sharding(Plan plan, int rank, std::map<std::string, Slice> slices)
      : plan_(std::move(plan)), rank_(rank), slices_(std::move(slices)) {}

  const Plan& plan() const { return plan_; }
  int rank() const { return rank_; }
  /// Of a parameter by its name.
  const Slice& slice(const std::string& name) const;
  /// Elements of all parameters that this rank holds.
  int64_t numel() const;
  /// The sharded model's parameters with the shapes that they have on one rank: what models::WeightSource
  /// checks. Their tensors are the sharded model's.
  std::vector<nn::ParameterSpec> whole(std::vector<nn::ParameterSpec> parameters) const;

 private:
  Plan plan_;
  int rank_;
  std::map<std::string, Slice> slices_;
};

/// Makes `model` this rank's part of itself: a model of models/ under `spec`, a decoder, an encoder with a
/// head, or both in one, whose parameters are unmaterialized. Its modules and parameters keep their names;
/// projections and tables are replaced by those that hold this rank's slices, so that a forward, with the
/// same inputs on every rank, gives on every rank what the whole model gives, in the same bits on all.
/// Nothing is read or allocated, no rank ever holds the whole model; materialize it with SliceSource. Every
/// rank of the group calls it, and from then on every forward. Key-value caches hold this rank's heads alone.
///
/// Errors as Plan's; a model with parameters already materialized. A forward that would record gradients is
/// refused without options.training, and that of a mixture of experts always.
Sharding shard(torch::nn::Module& model, const models::ArchSpec& spec, const comm::GroupPtr& group,
               const Options& options = {});

/// Reads this rank's slices of what `whole` gives: only their elements are asked for, in runs of one row
/// where columns are cut. `whole` and `sharding` outlive it.
class SliceSource : public nn::ParameterSource {
 public:
  SliceSource(const nn::ParameterSource& whole, const Sharding& sharding)
      : whole_(whole), sharding_(sharding) {}
  void fill(const nn::ParameterSpec& spec, int64_t begin, at::Tensor slice) const override;

 private:
  const nn::ParameterSource& whole_;
  const Sharding& sharding_;
};

/// shard(), and every slice read on the CPU from `whole` (models::WeightSource, nn::InitSource).
Sharding load(torch::nn::Module& model, const models::ArchSpec& spec, const nn::ParameterSource& whole,
              const comm::GroupPtr& group, const Options& options = {});

/// A number that rank 0 drew, on every rank: the seed of generations that have none of their own, which must
/// draw the same tokens everywhere. Collective.
uint64_t agreed_seed(comm::Group& group);

}  // namespace deepspeed::tensor_parallel
