#include "deepspeed/tensor_parallel/shard.h"

#include <ATen/ops/empty.h>

#include <random>

#include "deepspeed/base/error.h"
#include "deepspeed/models/vocabulary_head.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/block.h"
#include "deepspeed/nn/moe.h"
#include "deepspeed/tensor_parallel/joint.h"
#include "deepspeed/tensor_parallel/projections.h"

namespace deepspeed::tensor_parallel {
namespace {

// Gives every part of a model that has to know its ranks.
class Sharder {
 public:
  Sharder(const models::ArchSpec& spec, const comm::GroupPtr& group, const Plan& plan, bool training)
      : spec_(spec), group_(group), plan_(plan), mine_(plan.part(group->rank())), training_(training) {}

  void operator()(const std::string& name, nn::Block& block) {
    if (auto* linear = dynamic_cast<nn::Linear*>(&block)) shard_linear(name, *linear);
    if (auto* table = dynamic_cast<nn::Embedding*>(&block)) shard_table(name, *table);
    if (auto* head = dynamic_cast<models::VocabularyHead*>(&block)) shard_head(*head);
    if (auto* attention = dynamic_cast<nn::Attention*>(&block))
      attention->keep_heads(mine_.heads.begin, mine_.heads.count, mine_.kv_heads.count);
    if (auto* moe = dynamic_cast<nn::Moe*>(&block))
      moe->share({.enter = {}, .join = [group = group_](const at::Tensor& part) {
                    DS_CHECK(!at::GradMode::is_enabled() || !part.requires_grad(),
                             "mixtures of experts do not train over tensor-parallel ranks yet");
                    return sum(part, group);
                  }});
  }

 private:
  Slice slice(const std::string& name, const std::vector<int64_t>& shape) const {
    return plan_.slice(name, shape, group_->rank());
  }

  void shard_linear(const std::string& name, nn::Linear& linear) {
    const auto wanted = linear.projection().parameters();
    const Slice weight = slice(name + ".weight", wanted[0].shape);
    if (!weight.dim) return;
    const bool in_out = spec_.order == nn::WeightOrder::kInOut, bias = wanted.size() > 1;
    const bool rows = (*weight.dim == 0) == in_out;  // cut by what it takes
    const std::vector<int64_t> shape = weight.shape();
    auto inner = std::make_unique<nn::DenseProjection>(
        nn::DenseOptions{.in_features = shape[in_out ? 0 : 1],
                         .out_features = shape[in_out ? 1 : 0],
                         .bias = bias && !rows,
                         .order = spec_.order,
                         .weight_init = wanted[0].init,
                         .bias_init = bias ? wanted[1].init : nn::Init::zeros()});
    if (rows && name.find(".moe.") == std::string::npos) {
      linear.set_projection(std::make_unique<RowParallelProjection>(
          std::move(inner), bias ? std::optional(wanted[1]) : std::nullopt, group_, training_));
    } else if (!rows && training_) {
      linear.set_projection(std::make_unique<ColumnParallelProjection>(std::move(inner), group_));
    } else {
      linear.set_projection(std::move(inner));  // a mixture sums what its experts give, all at once
    }
  }

  void shard_table(const std::string& name, nn::Embedding& table) {
    const Slice cut = slice(name + ".weight", table.weight().sizes().vec());
    if (!cut.dim) return;
    const int64_t padding = spec_.padding_token.value_or(-1), rows = cut.whole[0];
    table.set_lookup([group = group_, mine = mine_.vocabulary, padding, rows](const at::Tensor& weight,
                                                                              const at::Tensor& ids) {
      if (ids.is_cpu() && ids.numel() > 0)  // on a device the host would wait for them
        DS_CHECK(ids.min().item<int64_t>() >= 0 && ids.max().item<int64_t>() < rows,
                 "embedding: ids must lie in the table of {} rows", rows);
      const at::Tensor place = ids - mine.begin;
      const at::Tensor elsewhere = place.lt(0).logical_or_(place.ge(mine.count));
      const bool here = padding >= mine.begin && padding < mine.end();
      const at::Tensor found =
          ops::embedding(weight, place.masked_fill(elsewhere, 0), here ? padding - mine.begin : -1);
      return sum(found.masked_fill(elsewhere.unsqueeze(-1), 0), group);
    });
  }

  void shard_head(models::VocabularyHead& head) {
    std::vector<int64_t> sizes;
    for (int r = 0; r < plan_.ranks(); ++r) sizes.push_back(plan_.part(r).vocabulary.count);
    if (sizes[0] == spec_.vocab) return;  // not cut
    head.share({.enter = [group = group_](const at::Tensor& hidden) { return enter(hidden, group); },
                .join = [group = group_,
                         sizes](const at::Tensor& logits) { return concatenate(logits, sizes, group); }});
  }

  const models::ArchSpec& spec_;
  const comm::GroupPtr& group_;
  const Plan& plan_;
  const Part& mine_;
  bool training_;
};

// The same parameter, of another shape.
void reshape(at::Tensor parameter, const std::vector<int64_t>& shape) {
  at::Tensor unmaterialized = at::empty({0}, parameter.options().requires_grad(false));
  unmaterialized.unsafeGetTensorImpl()->set_sizes_contiguous(shape);
  parameter.set_data(unmaterialized);
}

// What several ranks hold has on each a share of its gradient.
void complete_gradient(const nn::ParameterSpec& parameter, const Plan& plan, const Slice& slice,
                       const comm::GroupPtr& group) {
  const auto copy = plan.first_copy(parameter.name);
  if (copy)
    parameter.tensor.register_hook([slice, first = *copy, group](const at::Tensor& gradient) {
      return sum_copies(gradient, slice, first, group);
    });
  else if (plan.sees_some_heads(parameter.name))
    parameter.tensor.register_hook(
        [group](const at::Tensor& gradient) { return sum(gradient.clone(), group); });
}

}  // namespace

const Slice& Sharding::slice(const std::string& name) const {
  const auto found = slices_.find(name);
  DS_CHECK(found != slices_.end(), "the sharded model has no parameter '{}'", name);
  return found->second;
}

int64_t Sharding::numel() const {
  int64_t total = 0;
  for (const auto& [name, slice] : slices_) total += slice.numel();
  return total;
}

std::vector<nn::ParameterSpec> Sharding::whole(std::vector<nn::ParameterSpec> parameters) const {
  for (nn::ParameterSpec& parameter : parameters) parameter.shape = slice(parameter.name).whole;
  return parameters;
}

Sharding shard(torch::nn::Module& model, const models::ArchSpec& spec, const comm::GroupPtr& group,
               const Options& options) {
  Plan plan(spec, group->size(), options);
  std::map<std::string, Slice> slices;
  for (const nn::ParameterSpec& parameter : nn::list_parameters(model)) {
    DS_CHECK(!nn::is_materialized(parameter.tensor) || parameter.numel() == 0,
             "a model is sharded before its parameters are read; '{}' is there already", parameter.name);
    slices[parameter.name] = plan.slice(parameter.name, parameter.shape, group->rank());
  }
  if (group->size() > 1) {
    Sharder sharder(spec, group, plan, options.training);
    for (const auto& [name, block] : nn::blocks_of(model)) sharder(name, *block);
    // Tables are held by the modules that declared them, under the same identity where they are tied.
    for (const nn::ParameterSpec& parameter : nn::list_parameters(model)) {
      const Slice& slice = slices.at(parameter.name);
      if (parameter.shape != slice.shape()) reshape(parameter.tensor, slice.shape());
      if (options.training) complete_gradient(parameter, plan, slice, group);
    }
  }
  return {std::move(plan), group->rank(), std::move(slices)};
}

void SliceSource::fill(const nn::ParameterSpec& spec, int64_t begin, at::Tensor slice) const {
  const Slice& held = sharding_.slice(spec.name);
  nn::ParameterSpec whole = spec;
  whole.shape = held.whole;
  for (const Stretch& run : held.stretches(begin, slice.numel()))
    whole_.fill(whole, run.whole, slice.narrow(0, run.slice - begin, run.count));
}

Sharding load(torch::nn::Module& model, const models::ArchSpec& spec, const nn::ParameterSource& whole,
              const comm::GroupPtr& group, const Options& options) {
  Sharding sharding = shard(model, spec, group, options);
  nn::DenseMaterializer().materialize(nn::list_parameters(model), SliceSource(whole, sharding));
  return sharding;
}

uint64_t agreed_seed(comm::Group& group) {
  std::random_device device;
  const uint64_t drawn = (uint64_t{device()} << 32 | device()) >> 1;
  return std::stoull(group.broadcast_object_list({std::to_string(drawn)}, 0).at(0));
}

}  // namespace deepspeed::tensor_parallel
