#include "deepspeed/aio/backend.h"
#include "deepspeed/base/error.h"

namespace deepspeed::aio {

std::unique_ptr<Backend> make_io_uring(int) {
  base::fail("io_uring is not part of this build (it needs liburing-dev)");
}

}  // namespace deepspeed::aio
