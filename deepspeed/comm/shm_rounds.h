// Collectives as rounds of an ShmChannel. Internal to comm.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/comm/shm_channel.h"

namespace deepspeed::comm {

/// Runs them to their end; all ranks must. Throws what ShmChannel's await and check_agreement throw.
void run(ShmChannel& channel, const ShmRounds& rounds, std::chrono::milliseconds timeout);

// Tensors are flat, contiguous, on the CPU; sums are formed in rank order as in local_reduce.h, so that all
// ranks hold the same bits and reduce_scatter gives those of all_reduce.

/// t = op over ranks, in place.
ShmRounds shm_all_reduce(ShmChannel& channel, const at::Tensor& t, ReduceOp op);
/// output = this rank's part of op over ranks of parts. output may share memory with any part.
ShmRounds shm_reduce_scatter(ShmChannel& channel, const at::Tensor& output,
                             const std::vector<at::Tensor>& parts, ReduceOp op, const char* name);
/// outputs[r] = rank r's input, all of bytes.
ShmRounds shm_all_gather(ShmChannel& channel, const std::vector<at::Tensor>& outputs,
                         const at::Tensor& input);
/// Rank root's t, of bytes, replaces everyone's.
ShmRounds shm_broadcast(ShmChannel& channel, const at::Tensor& t, int root);
ShmRounds shm_barrier();

}  // namespace deepspeed::comm
