// Tests that need a GPU, which programs with the label `device` hold. Where there is none they skip, and say
// so.
#pragma once

#include <gtest/gtest.h>

#include "deepspeed/accel/device.h"

#define DS_NEEDS_GPU()                                                                                  \
  do {                                                                                                  \
    if (::deepspeed::accel::device_count() == 0)                                                        \
      GTEST_SKIP() << "no GPU is in sight: this wants the cuda preset on a machine with an NVIDIA GPU"; \
  } while (0)
