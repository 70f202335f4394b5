// A command line that the command does not take.
#pragma once

#include "deepspeed/base/error.h"

namespace deepspeed::base {

/// What an argument parser refuses. Commands exit with 2 for it, as Python's argparse does and with it
/// DeepSpeed's own commands, and with 1 for every other Error.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace deepspeed::base
