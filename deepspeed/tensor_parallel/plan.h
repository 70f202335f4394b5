// Which part of a model each of N ranks computes, and so which slice of every parameter it holds: a pure
// function of the architecture, in which every family is cut alike, by our names for its parameters.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/tensor_parallel/slice.h"

namespace deepspeed::tensor_parallel {

struct Options {
  /// MLPs and vocabularies are cut at multiples of it (DeepSpeed's tensor_parallel.tp_grain_size), so that
  /// matrices keep sizes that kernels like; what is left over goes to the last rank. Where it is too large
  /// for every rank to have a part it is halved; what is smaller than one grain is cut evenly.
  int64_t grain = 64;
  /// Whether the tables of tokens are cut, too: the embedding's and the head's.
  bool vocabulary = true;
  /// Whether gradients are wanted. Without it what is column-parallel is multiplied by plain dense
  /// projections, which may be packed and fused like those of one rank, and a forward that would record
  /// gradients is refused.
  bool training = false;
};

/// What one rank computes of the whole.
struct Part {
  Range heads, kv_heads;                      // of every attention
  Range intermediate, expert, shared_expert;  // columns of every MLP, of each expert, of the shared one
  Range vocabulary;                           // rows of the tables of tokens
};

/// Queries, keys, values, MLPs' up and gate are cut by what they give (column-parallel), attention's output
/// and MLPs' down by what they take (row-parallel): so is every expert of a mixture. Tables of tokens are cut
/// by tokens, those of relative positions by heads. Norms, other positions, routers, biases of what is
/// row-parallel, and the small heads of encoders are whole on every rank.
///
/// Heads stay whole. With at least as many key-value heads as ranks, each rank has its own ones, uneven where
/// they must be, and the queries that read them; with fewer, the ranks that share a key-value head each hold
/// a copy and some of its queries.
/// Source: Shoeybi et al., "Megatron-LM" (2019), section 3; mirrors DeepSpeed's module_inject/auto_tp.py and
/// tp_shard.py (get_shard_size).
class Plan {
 public:
  /// Errors: no rank, more ranks than attention heads, or than columns of an MLP; experts with biases.
  Plan(const models::ArchSpec& spec, int ranks, const Options& options = {});

  int ranks() const { return static_cast<int>(parts_.size()); }
  const Part& part(int rank) const { return parts_.at(static_cast<size_t>(rank)); }
  /// What `rank` holds of our parameter ("layers.3.mlp.up.weight"), whose shape in a model on one rank is
  /// `shape`.
  Slice slice(const std::string& name, const std::vector<int64_t>& shape, int rank) const;
  /// Whether the parameter is whole on every rank, where it meets this rank's heads alone: the norm of every
  /// head's queries or keys. Its gradients are to be summed over the ranks.
  bool sees_some_heads(const std::string& name) const;
  /// Whether ranks hold copies of some of the key-value heads.
  bool copies_keys() const { return copies_keys_; }
  /// The first of the parameter's ranges that other ranks hold as well, if there is one: of keys and values.
  std::optional<size_t> first_copy(const std::string& name) const;

 private:
  struct Cut {
    std::vector<Range> ranges;  // none: the parameter is whole
    bool outputs = false;       // of what a projection gives; else of what it takes, or of a table's rows
  };
  Cut cut_of(const std::string& name, const Part& part) const;

  int64_t heads_, kv_heads_, head_dim_;
  bool in_out_;  // matrices of attention and MLPs are [in, out]
  bool cut_vocabulary_, copies_keys_;
  std::vector<Part> parts_;
};

/// `size` things over `ranks`, each a multiple of the grain but for what the last one has beyond it.
std::vector<Range> split_by_grain(int64_t size, int ranks, int64_t grain);

}  // namespace deepspeed::tensor_parallel
