// Sharded parameters (ZeRO stage 3): every rank keeps one part of each, gathers it whole where a computation
// needs it and empties it afterwards. The parameter tensors keep their identity: only the memory under them
// comes and goes, so that neither user code nor autograd notices. Mirrors DeepSpeed's
// runtime/zero/partition_parameters.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/partition/layout.h"
#include "deepspeed/zero/buffer_pool.h"
#include "deepspeed/zero/config.h"
#include "deepspeed/zero/named_parameter.h"
#include "deepspeed/zero/part_gather.h"
#include "deepspeed/zero/part_store.h"
#include "deepspeed/zero/state_bytes.h"
#include "deepspeed/zero/zero_groups.h"

namespace deepspeed::zero {

class ParameterShards {
 public:
  /// Writes elements [begin, begin + slice.numel()) of parameter number `param` into `slice`.
  using Fill = std::function<void(size_t param, int64_t begin, at::Tensor slice)>;

  struct Options {
    at::ScalarType dtype = at::kFloat;  // that the parameters are to have
    /// Parameters with fewer elements stay whole on every rank ("persistent")...
    int64_t persistence_threshold = 0;
    /// ... as long as they are fewer than this together.
    int64_t model_persistence_threshold = INT64_MAX;
    /// How parameters are gathered; persistent ones always come as they are.
    PartGather::Options gather = {};
    /// Parts are kept in the code that gather.code must name; from two ranks on.
    bool keep_coded = false;
    /// Where parts go that are not to be in memory.
    std::optional<PartFileOptions> file = std::nullopt;
  };

  /// What a configuration asks for.
  static Options options_of(const ZeroConfig& config, const ZeroGroups& groups, at::ScalarType dtype,
                            bool trainable = true);

  /// Takes the parameters over: `fill` gives this rank's parts, then what the tensors held is freed. Tensors
  /// without memory (nn/materializer.h) are welcome. Collective.
  ParameterShards(std::vector<NamedParameter> parameters, const Fill& fill, comm::GroupPtr group,
                  const Options& options);
  /// The parameters are empty afterwards, but for one rank's alone.
  ~ParameterShards();
  ParameterShards(const ParameterShards&) = delete;
  ParameterShards& operator=(const ParameterShards&) = delete;

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  /// Per parameter.
  const partition::Layout& layout() const { return layout_; }
  /// This rank's parts, as far as they are in memory: the first elements of layout().shard_numel(), usually
  /// all, none where parts are kept in a code. Padding is zero. Whoever writes to it calls refresh().
  const at::Tensor& shard() const { return store_.memory(); }
  /// The same wherever they are, but in a code: `begin` is a place in the shard. What write() changes needs
  /// refresh().
  at::Tensor read(int64_t begin, int64_t count) const { return store_.read(begin, count); }
  void write(int64_t begin, const at::Tensor& values);
  /// What write() gave to a file is there, or an Error says why not. Not collective.
  void finish_writes() const { store_.finish_writes(); }
  /// This rank's part of one parameter [layout().part_numel(param)]: a view of shard(), or a copy of what is
  /// in a file or kept in a code.
  at::Tensor part(size_t param) const;
  /// Replaces it; refresh() follows.
  void set_part(size_t param, const at::Tensor& values);

  /// Whether the parameter is never gathered: it is whole on every rank.
  bool is_persistent(size_t param) const { return wholes_[param].persistent; }
  bool is_here(size_t param) const { return wholes_[param].here; }
  /// Between start() and finish().
  bool is_under_way(size_t param) const { return wholes_[param].gather != nullptr; }

  /// Reads this rank's part ahead of start(), where it is in a file; few at once. Not collective.
  void read_ahead(size_t param);

  /// Starts to gather a parameter that is not here; finish() makes it readable. `exact`: as it is, whatever
  /// Options::gather says. Collective, every rank in the same order.
  void start(size_t param, bool exact = false);
  /// Waits for a gather that start() began; nothing to do for a parameter that is here.
  void finish(size_t param);
  /// Empties a parameter that is here; its memory is used for the next. Not collective.
  void release(size_t param);
  /// The shards have changed: persistent parameters follow, all others must be released. Collective.
  void refresh();
  /// The same of one parameter.
  void refresh(size_t param);
  /// This rank's part becomes what the whole parameter holds, which is here (GatheredParameters).
  void keep_part_of(size_t param);
  /// Called with the part that keep_part_of() has changed.
  void set_listener(std::function<void(const partition::Piece&)> listener) {
    listener_ = std::move(listener);
  }

  /// Adds what this rank's parameters take.
  void add_bytes(StateBytes& bytes) const;

  const BufferPool& pool() const { return pool_; }
  /// Ends a step for the pool of buffers: what no gather of it took is freed. Not collective.
  void end_round() { pool_.end_round(); }
  const PartGather& gather() const { return gather_; }

 private:
  struct Whole {
    c10::Storage storage;  // under the parameter
    at::Tensor buffer;     // bytes that the storage borrows; undefined while released
    at::Tensor part;       // bytes of a part from the file, from its read until it is gathered
    std::optional<aio::Ticket> reading;
    comm::WorkPtr gather;  // under way
    bool persistent = false, here = false;
  };

  void take_over(size_t param);
  bool is_stored(size_t param) const {
    return options_.file && layout_.part_numel(param) > 0 && store_.is_stored(layout_.part_offset(param));
  }
  void start_read(size_t param);
  at::Tensor part_to_gather(size_t param);
  void give_back_part(size_t param);
  void forget_reads();
  void make_parts(const Fill& fill);
  at::Tensor coded_part(size_t param) const;
  comm::WorkPtr begin_gather(size_t param, bool exact);
  comm::WorkPtr begin_refresh(size_t param);
  partition::Piece own_piece(size_t param) const;
  at::Tensor padded(size_t param) const;

  std::vector<NamedParameter> parameters_;
  comm::GroupPtr group_;
  partition::Layout layout_;
  Options options_;
  PartStore store_;
  at::Tensor coded_;                   // instead of what is stored: bytes
  std::vector<int64_t> coded_begins_;  // by parameter, and the end
  std::function<void(const partition::Piece&)> listener_;
  BufferPool pool_;
  PartGather gather_;
  std::vector<Whole> wholes_;
};

}  // namespace deepspeed::zero
