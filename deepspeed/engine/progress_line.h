// The line that shows a run's progress on a terminal.
#pragma once

#include <string>

#include "deepspeed/engine/step_log.h"

namespace deepspeed::engine {

/// "[=====     ] 50/100  loss 2.1234  lr 1.00e-03  812 tokens/s  ETA 1:05" in at most `columns` - 1 columns:
/// on a narrow terminal the bar goes first, then the learning rate, the speed and the loss. `left_s`: seconds
/// still to go.
std::string progress_line(const StepRecord& record, int64_t last_step, double left_s, int columns);

}  // namespace deepspeed::engine
