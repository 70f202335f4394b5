// Something to do once a collective is done.
#pragma once

#include <functional>

#include "deepspeed/comm/group.h"

namespace deepspeed::zero {

/// Done when `work` is and `then` has run, once, on the thread that waits. `then` may wait for collectives of
/// its own: every rank waits for its Works in the same order.
comm::WorkPtr followed_by(comm::WorkPtr work, std::function<void()> then);

}  // namespace deepspeed::zero
