#include "deepspeed/comm/shm_rounds.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/base/race_detector.h"
#include "deepspeed/comm/local_reduce.h"

namespace deepspeed::comm {
namespace {

using Tensors = std::vector<at::Tensor>;

// Up to here every rank reduces everything itself: one wait less than reducing a part and collecting the
// others'.
constexpr size_t kSmallBytes = 16 * 1024;
// Not above at::internal::GRAIN_SIZE, so that ATen starts no threads.
constexpr int64_t kTile = 16384;

struct Chunk {
  int64_t begin = 0, length = 0;
};

// The index-th piece of `step` out of `total`.
Chunk chunk(int64_t total, uint32_t index, int64_t step) {
  const int64_t begin = std::min(total, static_cast<int64_t>(index) * step);
  return {begin, std::min(step, total - begin)};
}

std::byte* bytes_of(const at::Tensor& t) { return static_cast<std::byte*>(t.mutable_data_ptr()); }

void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, static_cast<size_t>(bytes));
}

uint32_t rounds_for(const Tensors& parts, int64_t step) {
  int64_t longest = 0;
  for (const auto& part : parts) longest = std::max(longest, part.numel());
  return static_cast<uint32_t>((longest + step - 1) / step);
}

ShmCall describe(const char* name, int64_t bytes, at::ScalarType dtype, int variant) {
  ShmCall call;
  std::strncpy(call.name.data(), name, call.name.size() - 1);
  call.bytes = bytes;
  call.dtype = static_cast<int32_t>(dtype);
  call.variant = variant;
  return call;
}

int64_t total_bytes(const Tensors& parts) {
  int64_t bytes = 0;
  for (const auto& part : parts) bytes += static_cast<int64_t>(part.nbytes());
  return bytes;
}

// output[begin, begin + length) = op over ranks of what `source` says rank r contributes there.
void reduce_tiles(const at::Tensor& output, Chunk range, int ranks, ReduceOp op,
                  const std::function<std::byte*(int rank)>& source) {
  const int64_t width = static_cast<int64_t>(output.element_size());
  Tensors tiles(static_cast<size_t>(ranks));
  for (int64_t done = 0; done < range.length; done += kTile) {
    const int64_t length = std::min(kTile, range.length - done);
    for (int r = 0; r < ranks; ++r) {
      base::note_read(source(r) + done * width, static_cast<size_t>(length * width));
      tiles[static_cast<size_t>(r)] = at::from_blob(source(r) + done * width, {length}, output.options());
    }
    base::note_write(bytes_of(output) + (range.begin + done) * width, static_cast<size_t>(length * width));
    auto to = at::from_blob(bytes_of(output) + (range.begin + done) * width, {length}, output.options());
    reduce_parts(to, tiles, op);
  }
}

// All of t fits into a slot.
ShmRounds all_reduce_small(ShmChannel& channel, const at::Tensor& t, ReduceOp op) {
  ShmRounds rounds;
  rounds.count = 1;
  rounds.give = [&channel, t](uint32_t, uint32_t round) {
    copy_bytes(channel.slot(channel.rank(), round), bytes_of(t), static_cast<int64_t>(t.nbytes()));
  };
  rounds.combine = [&channel, t, op](uint32_t, uint32_t round) {
    reduce_tiles(t, {0, t.numel()}, channel.ranks(), op, [&](int r) { return channel.slot(r, round); });
  };
  return rounds;
}

// Slot of rank r, in parts: part q is what r contributes to what q reduces; part r is what r has reduced.
struct PartReducer {
  ShmChannel& channel;
  at::Tensor output;
  Tensors parts;
  ReduceOp op;
  bool collects;

  int64_t width() const { return static_cast<int64_t>(output.element_size()); }
  int64_t step() const { return static_cast<int64_t>(channel.part_bytes()) / width(); }
  std::byte* place(int owner, uint32_t round, int part) const {
    return channel.slot(owner, round) + static_cast<size_t>(part) * channel.part_bytes();
  }
  std::byte* own(int part, Chunk range) const {
    return bytes_of(parts[static_cast<size_t>(part)]) + range.begin * width();
  }
  Chunk range(int part, uint32_t index) const {
    return chunk(parts[static_cast<size_t>(part)].numel(), index, step());
  }

  void give(uint32_t index, uint32_t round) const {
    for (int r = 0; r < channel.ranks(); ++r) {
      const Chunk c = range(r, index);
      if (r != channel.rank()) copy_bytes(place(channel.rank(), round, r), own(r, c), c.length * width());
    }
  }
  void combine(uint32_t index, uint32_t round) const {
    const int me = channel.rank();
    const Chunk c = range(me, index);
    reduce_tiles(output, c, channel.ranks(), op,
                 [&](int r) { return r == me ? own(me, c) : place(r, round, me); });
    if (collects) copy_bytes(place(me, round, me), bytes_of(output) + c.begin * width(), c.length * width());
  }
  void collect(uint32_t index, uint32_t round) const {
    for (int r = 0; r < channel.ranks(); ++r) {
      const Chunk c = range(r, index);
      if (r != channel.rank()) copy_bytes(own(r, c), place(r, round, r), c.length * width());
    }
  }
};

ShmRounds rounds_of(const PartReducer& reducer) {
  ShmRounds rounds;
  rounds.count = rounds_for(reducer.parts, reducer.step());
  rounds.collects = reducer.collects;
  rounds.give = [reducer](uint32_t index, uint32_t round) { reducer.give(index, round); };
  rounds.combine = [reducer](uint32_t index, uint32_t round) { reducer.combine(index, round); };
  if (reducer.collects)
    rounds.collect = [reducer](uint32_t index, uint32_t round) { reducer.collect(index, round); };
  return rounds;
}

// One part a rank, as even as cache lines allow.
Tensors even_parts(const at::Tensor& t, int ranks) {
  const int64_t line = 64;
  const int64_t even = (t.numel() + ranks - 1) / ranks;
  const int64_t length = (even + line - 1) / line * line;
  Tensors parts;
  for (int r = 0; r < ranks; ++r) {
    const Chunk c = chunk(t.numel(), static_cast<uint32_t>(r), length);
    parts.push_back(t.narrow(0, c.begin, c.length));
  }
  return parts;
}

}  // namespace

void run(ShmChannel& channel, const ShmRounds& rounds, std::chrono::milliseconds timeout) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  run_rounds(channel, rounds, std::chrono::steady_clock::now() + timeout);
}

ShmRounds shm_all_reduce(ShmChannel& channel, const at::Tensor& t, ReduceOp op) {
  const bool small = t.nbytes() <= std::min(kSmallBytes, channel.slot_bytes());
  ShmRounds rounds;
  if (small) {
    rounds = all_reduce_small(channel, t, op);
  } else {
    const auto parts = even_parts(t, channel.ranks());
    rounds = rounds_of({channel, parts[static_cast<size_t>(channel.rank())], parts, op, true});
  }
  rounds.call =
      describe("all_reduce", static_cast<int64_t>(t.nbytes()), t.scalar_type(), static_cast<int>(op));
  return rounds;
}

ShmRounds shm_reduce_scatter(ShmChannel& channel, const at::Tensor& output, const Tensors& parts, ReduceOp op,
                             const char* name) {
  at::Tensor target = output;
  for (int r = 0; r < channel.ranks(); ++r)
    if (r != channel.rank() && overlaps(output, parts[static_cast<size_t>(r)]))
      target = at::empty_like(output);
  auto rounds = rounds_of({channel, target, parts, op, false});
  if (!target.is_same(output)) rounds.finish = [output, target] { output.copy_(target); };
  rounds.call = describe(name, total_bytes(parts), output.scalar_type(), static_cast<int>(op));
  return rounds;
}

ShmRounds shm_all_gather(ShmChannel& channel, const Tensors& outputs, const at::Tensor& input) {
  const auto step = static_cast<int64_t>(channel.slot_bytes());
  ShmRounds rounds;
  rounds.count = rounds_for(outputs, step);
  rounds.call = describe("all_gather", total_bytes(outputs), at::kByte, 0);
  rounds.give = [&channel, input, own = outputs[static_cast<size_t>(channel.rank())], step](uint32_t index,
                                                                                            uint32_t round) {
    const Chunk c = chunk(input.numel(), index, step);
    copy_bytes(channel.slot(channel.rank(), round), bytes_of(input) + c.begin, c.length);
    copy_bytes(bytes_of(own) + c.begin, bytes_of(input) + c.begin, c.length);
  };
  rounds.combine = [&channel, outputs, step](uint32_t index, uint32_t round) {
    for (int r = 0; r < channel.ranks(); ++r) {
      const auto& output = outputs[static_cast<size_t>(r)];
      const Chunk c = chunk(output.numel(), index, step);
      if (r != channel.rank()) copy_bytes(bytes_of(output) + c.begin, channel.slot(r, round), c.length);
    }
  };
  return rounds;
}

ShmRounds shm_broadcast(ShmChannel& channel, const at::Tensor& t, int root) {
  const auto none = t.narrow(0, 0, 0);
  Tensors outputs(static_cast<size_t>(channel.ranks()), none);
  outputs[static_cast<size_t>(root)] = t;
  auto rounds = shm_all_gather(channel, outputs, channel.rank() == root ? t : none);
  rounds.call = describe("broadcast", static_cast<int64_t>(t.nbytes()), at::kByte, root);
  return rounds;
}

ShmRounds shm_barrier() {
  ShmRounds rounds;
  rounds.count = 1;
  rounds.call = describe("barrier", 0, at::kByte, 0);
  return rounds;
}

}  // namespace deepspeed::comm
