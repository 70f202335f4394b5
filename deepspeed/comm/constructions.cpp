#include "deepspeed/comm/constructions.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/local_reduce.h"

namespace deepspeed::comm {
namespace {

// Tags of our own constructions lie above those users may take.
int internal_tag(const GroupState& group) {
  return 0x40000000 | static_cast<int>(group.sequence & 0x0fffffff);
}

void copy_unless_same(const at::Tensor& to, const at::Tensor& from) {
  if (to.numel() > 0 && to.const_data_ptr() != from.const_data_ptr()) at::Tensor(to).copy_(from);
}

// Receives are posted before any send, and each rank starts with another peer.
std::vector<RawWork> exchange_with_peers(GroupState& group, const Tensors& outputs, const Tensors& inputs) {
  std::vector<RawWork> works;
  const int tag = internal_tag(group);
  for (int step = 1; step < group.size; ++step) {
    const int peer = (group.rank + group.size - step) % group.size;
    Tensors message{outputs[peer]};
    if (message[0].numel() > 0) works.push_back(group.backend->recv(message, peer, tag));
  }
  for (int step = 1; step < group.size; ++step) {
    const int peer = (group.rank + step) % group.size;
    Tensors message{inputs[peer]};
    if (message[0].numel() > 0) works.push_back(group.backend->send(message, peer, tag));
  }
  return works;
}

Started gather_by_broadcasts(GroupState& group, const Tensors& outputs, const at::Tensor& input) {
  Started started;
  copy_unless_same(outputs[group.rank], input);
  for (int root = 0; root < group.size && group.size > 1; ++root) {
    Tensors message{outputs[root]};
    if (message[0].numel() == 0) continue;
    c10d::BroadcastOptions options;
    options.rootRank = root;
    options.timeout = group.timeout;
    started.works.push_back(group.backend->broadcast(message, options));
  }
  started.keep_alive = outputs;
  return started;
}

Started gather_natively(GroupState& group, const Tensors& outputs, const at::Tensor& input) {
  Tensors inputs{input};
  std::vector<Tensors> lists{outputs};
  c10d::AllgatherOptions options;
  options.timeout = group.timeout;
  Started started;
  started.works.push_back(group.backend->allgather(lists, inputs, options));
  started.keep_alive = outputs;
  started.keep_alive.push_back(input);
  return started;
}

// The first part to be added that comes from a peer lands in `output` itself, unless a send still reads that
// memory; so two ranks need no scratch memory at all.
Started reduce_scatter_by_exchange(GroupState& group, const at::Tensor& output, const Tensors& parts,
                                   ReduceOp op) {
  Tensors received = parts;
  const int in_place = group.rank == 0 ? 1 : 0;
  const bool disjoint =
      std::none_of(parts.begin(), parts.end(), [&](auto& part) { return overlaps(output, part); });
  for (int peer = 0; peer < group.size; ++peer) {
    if (peer == group.rank) continue;
    received[peer] = peer == in_place && disjoint ? output : at::empty_like(output);
  }
  Started started;
  started.works = exchange_with_peers(group, received, parts);
  started.keep_alive = parts;
  started.finish = [output, received, op] { reduce_parts(output, received, op); };
  return started;
}

Started reduce_scatter_natively(GroupState& group, const at::Tensor& output, const Tensors& parts,
                                ReduceOp op) {
  Tensors outputs{output};
  std::vector<Tensors> inputs{parts};
  c10d::ReduceScatterOptions options;
  options.reduceOp = to_c10d(op);
  options.timeout = group.timeout;
  Started started;
  started.works.push_back(group.backend->reduce_scatter(outputs, inputs, options));
  started.keep_alive = parts;
  started.keep_alive.push_back(output);
  return started;
}

}  // namespace

c10d::ReduceOp to_c10d(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return c10d::ReduceOp::SUM;
    case ReduceOp::kAvg:
      return c10d::ReduceOp::AVG;
    case ReduceOp::kProduct:
      return c10d::ReduceOp::PRODUCT;
    case ReduceOp::kMin:
      return c10d::ReduceOp::MIN;
    case ReduceOp::kMax:
      return c10d::ReduceOp::MAX;
    case ReduceOp::kBand:
      return c10d::ReduceOp::BAND;
    case ReduceOp::kBor:
      return c10d::ReduceOp::BOR;
    case ReduceOp::kBxor:
      return c10d::ReduceOp::BXOR;
  }
  base::fail("reduce operation {} does not exist", static_cast<int>(op));
}

at::Tensor flat(const GroupState& group, const at::Tensor& t) {
  DS_CHECK(t.defined(), "a tensor is undefined");
  DS_CHECK(t.is_contiguous(), "a tensor is not contiguous: pass t.contiguous()");
  DS_CHECK(t.device() == group.device, "a tensor is on {}, the group on {}", t.device().str(),
           group.device.str());
  return t.detach().view({-1});
}

at::Tensor as_bytes(const at::Tensor& flat_tensor) { return flat_tensor.view(at::kByte); }

Tensors as_bytes(const Tensors& flat_tensors) {
  Tensors bytes;
  for (const auto& t : flat_tensors) bytes.push_back(as_bytes(t));
  return bytes;
}

Tensors cut(const at::Tensor& flat_tensor, const std::vector<int64_t>& lengths) {
  Tensors parts;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    parts.push_back(flat_tensor.narrow(0, begin, length));
    begin += length;
  }
  return parts;
}

Started gather_all(GroupState& group, const Tensors& outputs, const at::Tensor& input) {
  if (group.policy.all_gather == Construction::kNative) return gather_natively(group, outputs, input);
  if (group.policy.all_gather == Construction::kBroadcasts)
    return gather_by_broadcasts(group, outputs, input);
  return exchange_all(group, outputs, Tensors(group.size, input));
}

Started reduce_and_scatter(GroupState& group, const at::Tensor& output, const Tensors& parts, ReduceOp op) {
  if (group.policy.reduce_scatter == Construction::kNative)
    return reduce_scatter_natively(group, output, parts, op);
  return reduce_scatter_by_exchange(group, output, parts, op);
}

Started exchange_all(GroupState& group, const Tensors& outputs, const Tensors& inputs) {
  Started started;
  if (group.policy.all_to_all == Construction::kNative) {
    Tensors out = outputs, in = inputs;
    c10d::AllToAllOptions options;
    options.timeout = group.timeout;
    started.works.push_back(group.backend->alltoall(out, in, options));
  } else {
    copy_unless_same(outputs[group.rank], inputs[group.rank]);
    started.works = exchange_with_peers(group, outputs, inputs);
  }
  started.keep_alive = outputs;
  started.keep_alive.insert(started.keep_alive.end(), inputs.begin(), inputs.end());
  return started;
}

Started reduce_all(GroupState& group, const at::Tensor& t, ReduceOp op) {
  if (group.size == 1 || t.numel() == 0) return {};
  const bool divide_here = op == ReduceOp::kAvg && !group.policy.native_average;
  Tensors message{t.scalar_type() == at::kBool ? as_bytes(t) : t};
  c10d::AllreduceOptions options;
  options.reduceOp = to_c10d(divide_here ? ReduceOp::kSum : op);
  options.timeout = group.timeout;
  Started started;
  started.works.push_back(group.backend->allreduce(message, options));
  started.keep_alive = message;
  if (divide_here) started.finish = [t, n = group.size] { at::Tensor(t).div_(static_cast<double>(n)); };
  return started;
}

}  // namespace deepspeed::comm
