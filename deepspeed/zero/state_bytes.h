// What a rank's model states take, state by state.
#pragma once

#include <cstdint>

namespace deepspeed::zero {

struct StateBytes {
  /// In memory. Parameters with what is kept whole or a second time of them, optimizer states with their
  /// master copies and the tiles of those on a disk.
  int64_t parameters = 0, gradients = 0, optimizer = 0;
  /// In memory, on top: buffers of gathered parameters, in use or waiting, and of gradients on their way.
  int64_t gathered = 0, buckets = 0;
  int64_t on_disk = 0;

  int64_t model_states() const { return parameters + gradients + optimizer; }
  StateBytes& operator+=(const StateBytes& other) {
    parameters += other.parameters, gradients += other.gradients, optimizer += other.optimizer;
    gathered += other.gathered, buckets += other.buckets, on_disk += other.on_disk;
    return *this;
  }
  bool operator==(const StateBytes&) const = default;
};

}  // namespace deepspeed::zero
