// One rank's handle on a process group, and every collective of DeepSpeed's comm API
// (deepspeed/comm/comm.py).
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace deepspeed::comm {

enum class ReduceOp { kSum, kAvg, kProduct, kMin, kMax, kBand, kBor, kBxor };

/// A collective under way. It keeps the tensors it was given alive.
class Work {
 public:
  virtual ~Work() = default;
  /// Blocks until the result may be read. Throws base::Error naming operation, group and rank when it failed
  /// or timed out. May be called again; the second call returns (or throws) at once.
  virtual void wait() = 0;
  /// Whether the transport is known to be done; wait() may have sums left. Over Gloo send, recv, gather,
  /// scatter, reduce_scatter* and all_to_all* say false until wait(): never poll this in a loop.
  virtual bool is_completed() = 0;
};
using WorkPtr = std::shared_ptr<Work>;

/// What an observer is told when an operation is issued.
struct OpRecord {
  uint64_t sequence = 0;  // counts the group's operations from 1
  std::string name;       // "all_reduce", "reduce_scatter_v", ...
  std::string group;
  int64_t numel = 0;  // elements of the whole payload on this rank: the longer of input and output
  at::ScalarType dtype = at::ScalarType::Undefined;
  bool async = false;
  /// Bytes for each other member, by world rank, where there are any: what this rank has that others need,
  /// once each, in whatever way they travel. A sum over ranks (all_reduce) is counted as a reduce_scatter and
  /// an all_gather.
  std::vector<std::pair<int, int64_t>> sent;
};

struct P2POp {
  enum class Kind { kSend, kRecv };
  Kind kind;
  at::Tensor tensor;
  int peer = 0;  // rank within the group
  int tag = 0;   // 0 ... 2^28 - 1
};

class Group;
using GroupPtr = std::shared_ptr<Group>;
struct GroupState;

/// Every rank of the group must call the same collectives in the same order, from one thread at a time.
/// Tensors are contiguous and live on the group's device, or on the CPU: a group on a device has a transport
/// for either, and an operation's tensors are all of one kind. On a device an operation has completed, and
/// wait() returns, as its stream sees it: what is issued there afterwards comes after it; ranks (`root`,
/// `peer`) count within the group. With async = false an operation has completed when it returns, and the
/// Work it returns is a finished one; with async = true it overlaps with the caller, who leaves its tensors
/// alone until wait(). Nothing here is recorded by autograd. Tensors of zero elements are valid everywhere. A
/// group of one rank works without any network.
class Group {
 public:
  explicit Group(std::shared_ptr<GroupState> state);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int rank() const;
  int size() const;
  const std::string& name() const;
  /// Where this rank computes: the CPU, or the device of its transport (NCCL).
  at::Device device() const;
  /// World ranks of the members; index = rank within the group.
  const std::vector<int>& global_ranks() const;
  /// Ranks of the world on one host, hosts being filled one after the other; of any other group its size.
  int ranks_per_host() const;

  /// In place, t = op over ranks. kAvg needs a floating dtype, kBand/kBor/kBxor an integral one (or bool).
  WorkPtr all_reduce(at::Tensor t, ReduceOp op = ReduceOp::kSum, bool async = false);
  /// As one all_reduce of all tensors (one dtype) together.
  WorkPtr all_reduce_coalesced(std::vector<at::Tensor> tensors, ReduceOp op = ReduceOp::kSum,
                               bool async = false);
  /// Rank root's t replaces everyone's.
  WorkPtr broadcast(at::Tensor t, int root, bool async = false);
  /// As all_reduce, but only rank root's t is defined afterwards (the others' may be overwritten).
  WorkPtr reduce(at::Tensor t, int root, ReduceOp op = ReduceOp::kSum, bool async = false);

  /// output[W*n] = the inputs[n] of all ranks in rank order. input may be this rank's slice of output.
  WorkPtr all_gather_into_tensor(at::Tensor output, at::Tensor input, bool async = false);
  /// outputs[r] = rank r's input. Sizes may differ between ranks; each rank passes outputs of the right
  /// sizes.
  WorkPtr all_gather(std::vector<at::Tensor> outputs, at::Tensor input, bool async = false);
  WorkPtr all_gather_coalesced(std::vector<at::Tensor> outputs, std::vector<at::Tensor> inputs,
                               bool async = false);

  /// output[n] = this rank's slice of op over ranks of input[W*n]. output may be that slice of input. Over
  /// Gloo the sum is formed in rank order, in fp32 for 16-bit dtypes, rounded once; all_reduce gives the same
  /// bits.
  WorkPtr reduce_scatter_tensor(at::Tensor output, at::Tensor input, ReduceOp op = ReduceOp::kSum,
                                bool async = false);
  /// Uneven slices: input is cut into splits (one entry a rank, summing to its length), output has
  /// splits[rank] elements.
  WorkPtr reduce_scatter_v(at::Tensor output, at::Tensor input, std::vector<int64_t> splits,
                           ReduceOp op = ReduceOp::kSum, bool async = false);
  /// As reduce_scatter_v with the slices given one by one: inputs[r] goes to rank r.
  WorkPtr reduce_scatter(at::Tensor output, std::vector<at::Tensor> inputs, ReduceOp op = ReduceOp::kSum,
                         bool async = false);
  WorkPtr reduce_scatter_coalesced(std::vector<at::Tensor> outputs, std::vector<at::Tensor> inputs,
                                   ReduceOp op = ReduceOp::kSum, bool async = false);

  /// Slice r of input goes to rank r; slice r of output comes from rank r. Splits count rows of dimension 0
  /// and may be empty for equal slices.
  WorkPtr all_to_all_single(at::Tensor output, at::Tensor input, std::vector<int64_t> output_splits = {},
                            std::vector<int64_t> input_splits = {}, bool async = false);
  WorkPtr all_to_all(std::vector<at::Tensor> outputs, std::vector<at::Tensor> inputs, bool async = false);
  /// outputs is read on rank root only.
  WorkPtr gather(std::vector<at::Tensor> outputs, at::Tensor input, int root, bool async = false);
  /// inputs is read on rank root only.
  WorkPtr scatter(at::Tensor output, std::vector<at::Tensor> inputs, int root, bool async = false);

  /// Messages between two ranks match by tag, in order.
  void send(at::Tensor t, int peer, int tag = 0);
  void recv(at::Tensor t, int peer, int tag = 0);
  WorkPtr isend(at::Tensor t, int peer, int tag = 0);
  WorkPtr irecv(at::Tensor t, int peer, int tag = 0);
  std::vector<WorkPtr> batch_isend_irecv(const std::vector<P2POp>& ops);

  WorkPtr barrier(bool async = false);
  /// A barrier that, when not all ranks arrive within the timeout, throws on every rank that did, naming the
  /// missing.
  void monitored_barrier(std::chrono::milliseconds timeout);

  /// Byte strings of any length. The result of all_gather_object has one entry a rank.
  std::vector<std::string> all_gather_object(const std::string& object);
  /// Rank root's list on every rank; what the others pass is ignored.
  std::vector<std::string> broadcast_object_list(std::vector<std::string> objects, int root);

  /// Between the two calls every operation is issued as if async; end_coalescing returns one Work for all of
  /// them.
  void start_coalescing();
  WorkPtr end_coalescing();

  /// A group of some of this group's ranks, numbered in the order given. Collective over *this* group
  /// (members or not); non-members get nullptr. The name, "<this name>/<n>" when empty, appears in errors.
  GroupPtr new_group(const std::vector<int>& ranks, std::string name = "");

  /// Limit for each operation issued from now on. Groups made afterwards inherit it.
  void set_timeout(std::chrono::milliseconds timeout);
  std::chrono::milliseconds timeout() const;
  /// Called when each operation is issued, on the issuing thread; groups made afterwards inherit it. Null
  /// removes it.
  void set_observer(std::function<void(const OpRecord&)> observer);

 private:
  std::shared_ptr<GroupState> state_;
};

/// A world of one rank, without any network.
GroupPtr single_group();

}  // namespace deepspeed::comm
