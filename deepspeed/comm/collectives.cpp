// Group's collectives: checks, then a construction.
#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/constructions.h"
#include "deepspeed/comm/local_reduce.h"

namespace deepspeed::comm {
namespace {

// Bytes that a rank has for each other one.
using Sent = std::function<int64_t(int peer)>;

int64_t bytes_of(const at::Tensor& t) { return t.defined() ? static_cast<int64_t>(t.nbytes()) : 0; }

int64_t bytes_of(const Tensors& tensors) {
  int64_t total = 0;
  for (const auto& t : tensors) total += bytes_of(t);
  return total;
}

Sent to_all(int64_t bytes) {
  return [bytes](int) { return bytes; };
}

Sent to_one(int64_t bytes, int root) {
  return [bytes, root](int peer) { return peer == root ? bytes : 0; };
}

Sent from_one(int64_t bytes, int root, int rank) { return to_all(rank == root ? bytes : 0); }

// What is wrong with the lists is said by the operation itself.
Sent to_each(const Tensors& inputs) {
  std::vector<int64_t> bytes;
  for (const auto& t : inputs) bytes.push_back(bytes_of(t));
  return [bytes](int peer) { return static_cast<size_t>(peer) < bytes.size() ? bytes[peer] : 0; };
}

// Rows of dimension 0; none: equal slices.
Sent to_each(const at::Tensor& input, const std::vector<int64_t>& splits, int size) {
  if (splits.empty()) return to_all(bytes_of(input) / size);
  int64_t rows = 0;
  for (const int64_t n : splits) rows += n;
  const int64_t row_bytes = rows > 0 ? bytes_of(input) / rows : 0;
  return [splits, row_bytes](int peer) {
    return static_cast<size_t>(peer) < splits.size() ? splits[peer] * row_bytes : 0;
  };
}

Operation describe(const char* name, const at::Tensor& payload, bool async, Sent sent) {
  if (!payload.defined()) return {name, 0, at::ScalarType::Undefined, async, std::move(sent)};
  return {name, payload.numel(), payload.scalar_type(), async, std::move(sent)};
}

Operation describe(const char* name, const Tensors& payload, bool async, Sent sent) {
  Operation operation{name, 0, at::ScalarType::Undefined, async, std::move(sent)};
  for (const auto& t : payload) {
    if (!t.defined()) continue;
    operation.numel += t.numel();
    operation.dtype = t.scalar_type();
  }
  return operation;
}

void check_root(const GroupState& group, int root) {
  DS_CHECK(root >= 0 && root < group.size, "root {} is not in 0 ... {}", root, group.size - 1);
}

void check_dtypes(const at::Tensor& output, const at::Tensor& input) {
  DS_CHECK(output.scalar_type() == input.scalar_type(), "output is {}, input {}",
           at::toString(output.scalar_type()), at::toString(input.scalar_type()));
}

Tensors flat_list(const GroupState& group, const Tensors& tensors, const char* which, at::ScalarType dtype) {
  DS_CHECK(tensors.size() == static_cast<size_t>(group.size), "{} has {} entries, the group {} ranks", which,
           tensors.size(), group.size);
  Tensors result;
  for (const auto& t : tensors) {
    result.push_back(flat(group, t));
    DS_CHECK(t.scalar_type() == dtype, "{} mixes {} and {}", which, at::toString(t.scalar_type()),
             at::toString(dtype));
  }
  return result;
}

Started scatter_sum(GroupState& group, const at::Tensor& output, const Tensors& parts, ReduceOp op) {
  check_reduce_op(op, output.scalar_type());
  DS_CHECK(output.numel() == parts[group.rank].numel(), "output has {} elements, this rank's slice {}",
           output.numel(), parts[group.rank].numel());
  if (group.size == 1) {
    reduce_parts(output, parts, op);
    return {};
  }
  return reduce_and_scatter(group, output, parts, op);
}

// Splits of dimension 0 as lengths in bytes; no splits stand for equal ones.
std::vector<int64_t> byte_lengths(const GroupState& group, const at::Tensor& t, std::vector<int64_t> splits,
                                  const char* which) {
  const int64_t rows = t.dim() == 0 ? t.numel() : t.size(0);
  if (splits.empty()) {
    DS_CHECK(rows % group.size == 0, "{} has {} rows, which {} ranks do not divide: pass splits", which, rows,
             group.size);
    splits.assign(group.size, rows / group.size);
  }
  DS_CHECK(splits.size() == static_cast<size_t>(group.size), "{} has {} splits, the group {} ranks", which,
           splits.size(), group.size);
  DS_CHECK(std::all_of(splits.begin(), splits.end(), [](int64_t n) { return n >= 0; }),
           "{} has a negative split", which);
  const int64_t total = std::accumulate(splits.begin(), splits.end(), int64_t{0});
  DS_CHECK(total == rows, "the splits of {} add up to {}, it has {} rows", which, total, rows);
  const int64_t row_bytes = rows == 0 ? 0 : static_cast<int64_t>(t.nbytes()) / rows;
  for (auto& n : splits) n *= row_bytes;
  return splits;
}

}  // namespace

WorkPtr Group::all_reduce(at::Tensor t, ReduceOp op, bool async) {
  GroupState& state = carrier(*state_, t);
  return issue(state, describe("all_reduce", t, async, to_all(2 * bytes_of(t) / size())), [&] {
    auto data = flat(state, t);
    check_reduce_op(op, data.scalar_type());
    return reduce_all(state, data, op);
  });
}

WorkPtr Group::all_reduce_coalesced(std::vector<at::Tensor> tensors, ReduceOp op, bool async) {
  GroupState& state = carrier(*state_, tensors);
  return issue(state,
               describe("all_reduce_coalesced", tensors, async, to_all(2 * bytes_of(tensors) / size())),
               [&]() -> Started {
                 if (tensors.empty() || size() == 1) return {};
                 Tensors flats;
                 for (const auto& t : tensors) {
                   DS_CHECK(t.scalar_type() == tensors[0].scalar_type(), "the tensors have several dtypes");
                   flats.push_back(flat(state, t));
                 }
                 check_reduce_op(op, flats[0].scalar_type());
                 auto all = at::cat(flats);
                 auto started = reduce_all(state, all, op);
                 started.finish = [all, flats, divide = std::move(started.finish)] {
                   if (divide) divide();
                   int64_t begin = 0;
                   for (auto t : flats) {
                     t.copy_(all.narrow(0, begin, t.numel()));
                     begin += t.numel();
                   }
                 };
                 return started;
               });
}

WorkPtr Group::broadcast(at::Tensor t, int root, bool async) {
  GroupState& state = carrier(*state_, t);
  return issue(state, describe("broadcast", t, async, from_one(bytes_of(t), root, rank())), [&]() -> Started {
    check_root(state, root);
    Tensors message{as_bytes(flat(state, t))};
    if (size() == 1 || t.numel() == 0) return {};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    options.timeout = state.timeout;
    return {{state.backend->broadcast(message, options)}, {}, message};
  });
}

WorkPtr Group::reduce(at::Tensor t, int root, ReduceOp op, bool async) {
  GroupState& state = carrier(*state_, t);
  return issue(state, describe("reduce", t, async, to_one(bytes_of(t), root)), [&]() -> Started {
    check_root(state, root);
    auto data = flat(state, t);
    check_reduce_op(op, data.scalar_type());
    if (size() == 1 || t.numel() == 0) return {};
    const bool divide_here = op == ReduceOp::kAvg && !state.policy.native_average;
    Tensors message{data.scalar_type() == at::kBool ? as_bytes(data) : data};
    c10d::ReduceOptions options;
    options.reduceOp = to_c10d(divide_here ? ReduceOp::kSum : op);
    options.rootRank = root;
    options.timeout = state.timeout;
    Started started{{state.backend->reduce(message, options)}, {}, message};
    if (divide_here) started.finish = [data, n = size()]() mutable { data.div_(static_cast<double>(n)); };
    return started;
  });
}

WorkPtr Group::all_gather_into_tensor(at::Tensor output, at::Tensor input, bool async) {
  GroupState& state = carrier(*state_, input);
  return issue(
      state, describe("all_gather_into_tensor", output, async, to_all(bytes_of(input))), [&]() -> Started {
        auto out = flat(state, output), in = flat(state, input);
        check_dtypes(out, in);
        DS_CHECK(out.numel() == in.numel() * size(), "output has {} elements, input {} on each of {} ranks",
                 out.numel(), in.numel(), size());
        if (out.numel() == 0) return {};
        auto out_bytes = as_bytes(out), in_bytes = as_bytes(in);
        if (state.policy.all_gather == Construction::kNative) {
          c10d::AllgatherOptions options;
          options.timeout = state.timeout;
          return {{state.backend->_allgather_base(out_bytes, in_bytes, options)}, {}, {out_bytes, in_bytes}};
        }
        return gather_all(state, cut(out_bytes, std::vector<int64_t>(size(), in_bytes.numel())), in_bytes);
      });
}

WorkPtr Group::all_gather(std::vector<at::Tensor> outputs, at::Tensor input, bool async) {
  GroupState& state = carrier(*state_, input);
  return issue(state, describe("all_gather", outputs, async, to_all(bytes_of(input))), [&]() -> Started {
    auto in = flat(state, input);
    auto outs = flat_list(state, outputs, "outputs", in.scalar_type());
    DS_CHECK(outs[rank()].numel() == in.numel(), "outputs[{}] has {} elements, input {}", rank(),
             outs[rank()].numel(), in.numel());
    return gather_all(state, as_bytes(outs), as_bytes(in));
  });
}

WorkPtr Group::reduce_scatter_tensor(at::Tensor output, at::Tensor input, ReduceOp op, bool async) {
  GroupState& state = carrier(*state_, input);
  return issue(
      state, describe("reduce_scatter_tensor", input, async, to_all(bytes_of(output))), [&]() -> Started {
        auto out = flat(state, output), in = flat(state, input);
        check_dtypes(out, in);
        DS_CHECK(in.numel() == out.numel() * size(), "input has {} elements, output {} on each of {} ranks",
                 in.numel(), out.numel(), size());
        if (in.numel() == 0) return {};
        if (state.policy.reduce_scatter == Construction::kNative) {
          check_reduce_op(op, out.scalar_type());
          c10d::ReduceScatterOptions options;
          options.reduceOp = to_c10d(op);
          options.timeout = state.timeout;
          return {{state.backend->_reduce_scatter_base(out, in, options)}, {}, {out, in}};
        }
        return scatter_sum(state, out, cut(in, std::vector<int64_t>(size(), out.numel())), op);
      });
}

WorkPtr Group::reduce_scatter_v(at::Tensor output, at::Tensor input, std::vector<int64_t> splits, ReduceOp op,
                                bool async) {
  GroupState& state = carrier(*state_, input);
  return issue(
      state, describe("reduce_scatter_v", input, async, to_each(input, splits, size())), [&]() -> Started {
        auto out = flat(state, output), in = flat(state, input);
        check_dtypes(out, in);
        DS_CHECK(splits.size() == static_cast<size_t>(size()), "{} splits for {} ranks", splits.size(),
                 size());
        const int64_t total = std::accumulate(splits.begin(), splits.end(), int64_t{0});
        DS_CHECK(total == in.numel(), "the splits add up to {}, input has {} elements", total, in.numel());
        return scatter_sum(state, out, cut(in, splits), op);
      });
}

WorkPtr Group::reduce_scatter(at::Tensor output, std::vector<at::Tensor> inputs, ReduceOp op, bool async) {
  GroupState& state = carrier(*state_, output);
  return issue(state, describe("reduce_scatter", inputs, async, to_each(inputs)), [&] {
    auto out = flat(state, output);
    return scatter_sum(state, out, flat_list(state, inputs, "inputs", out.scalar_type()), op);
  });
}

WorkPtr Group::all_to_all_single(at::Tensor output, at::Tensor input, std::vector<int64_t> output_splits,
                                 std::vector<int64_t> input_splits, bool async) {
  GroupState& state = carrier(*state_, input);
  const bool longer = output.numel() > input.numel();
  return issue(
      state,
      describe("all_to_all_single", longer ? output : input, async, to_each(input, input_splits, size())),
      [&] {
        auto out = flat(state, output), in = flat(state, input);
        check_dtypes(out, in);
        auto outs = cut(as_bytes(out), byte_lengths(state, output, std::move(output_splits), "output"));
        auto ins = cut(as_bytes(in), byte_lengths(state, input, std::move(input_splits), "input"));
        DS_CHECK(outs[rank()].numel() == ins[rank()].numel(),
                 "this rank's own slice has another length in output and input");
        return exchange_all(state, outs, ins);
      });
}

WorkPtr Group::all_to_all(std::vector<at::Tensor> outputs, std::vector<at::Tensor> inputs, bool async) {
  GroupState& state = carrier(*state_, inputs);
  return issue(state, describe("all_to_all", inputs, async, to_each(inputs)), [&] {
    DS_CHECK(!inputs.empty(), "inputs is empty");
    auto outs = flat_list(state, outputs, "outputs", inputs[0].scalar_type());
    auto ins = flat_list(state, inputs, "inputs", inputs[0].scalar_type());
    DS_CHECK(outs[rank()].numel() == ins[rank()].numel(), "outputs[{}] and inputs[{}] differ in length",
             rank(), rank());
    return exchange_all(state, as_bytes(outs), as_bytes(ins));
  });
}

WorkPtr Group::gather(std::vector<at::Tensor> outputs, at::Tensor input, int root, bool async) {
  GroupState& state = carrier(*state_, input);
  return issue(state, describe("gather", input, async, to_one(bytes_of(input), root)), [&] {
    check_root(state, root);
    auto in = as_bytes(flat(state, input));
    const auto none = in.narrow(0, 0, 0);
    Tensors outs(size(), none), ins(size(), none);
    ins[root] = in;
    if (rank() == root) outs = as_bytes(flat_list(state, outputs, "outputs", input.scalar_type()));
    DS_CHECK(rank() != root || outs[root].numel() == in.numel(), "outputs[{}] and input differ in length",
             root);
    return exchange_all(state, outs, ins);
  });
}

WorkPtr Group::scatter(at::Tensor output, std::vector<at::Tensor> inputs, int root, bool async) {
  GroupState& state = carrier(*state_, output);
  return issue(state, describe("scatter", output, async, rank() == root ? to_each(inputs) : to_all(0)), [&] {
    check_root(state, root);
    auto out = as_bytes(flat(state, output));
    const auto none = out.narrow(0, 0, 0);
    Tensors outs(size(), none), ins(size(), none);
    outs[root] = out;
    if (rank() == root) ins = as_bytes(flat_list(state, inputs, "inputs", output.scalar_type()));
    DS_CHECK(rank() != root || ins[root].numel() == out.numel(), "inputs[{}] and output differ in length",
             root);
    return exchange_all(state, outs, ins);
  });
}

namespace {

// Runs the calls of one coalesced operation, also when an enclosing scope is open or one of the calls throws.
WorkPtr coalesce(GroupState& group, bool async, const std::function<void()>& calls) {
  auto outer = std::exchange(group.coalesced, std::vector<WorkPtr>());
  try {
    calls();
  } catch (...) {
    group.coalesced = std::move(outer);
    throw;
  }
  auto work = join(std::move(*group.coalesced));
  group.coalesced = std::move(outer);
  if (group.coalesced) group.coalesced->push_back(work);
  if (!async && !group.coalesced) work->wait();
  return work;
}

void check_pairs(const GroupState& group, const Tensors& outputs, const Tensors& inputs) {
  DS_CHECK(outputs.size() == inputs.size(), "group '{}': a coalesced operation has {} outputs and {} inputs",
           group.name, outputs.size(), inputs.size());
}

}  // namespace

WorkPtr Group::all_gather_coalesced(std::vector<at::Tensor> outputs, std::vector<at::Tensor> inputs,
                                    bool async) {
  check_pairs(*state_, outputs, inputs);
  return coalesce(carrier(*state_, inputs), async, [&] {
    for (size_t i = 0; i < inputs.size(); ++i) all_gather_into_tensor(outputs[i], inputs[i]);
  });
}

WorkPtr Group::reduce_scatter_coalesced(std::vector<at::Tensor> outputs, std::vector<at::Tensor> inputs,
                                        ReduceOp op, bool async) {
  check_pairs(*state_, outputs, inputs);
  return coalesce(carrier(*state_, inputs), async, [&] {
    for (size_t i = 0; i < inputs.size(); ++i) reduce_scatter_tensor(outputs[i], inputs[i], op);
  });
}

}  // namespace deepspeed::comm
