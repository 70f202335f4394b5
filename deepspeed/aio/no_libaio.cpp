#include "deepspeed/aio/backend.h"
#include "deepspeed/base/error.h"

namespace deepspeed::aio {

std::unique_ptr<Backend> make_libaio(int) {
  base::fail("libaio is not part of this build (it needs libaio-dev)");
}

}  // namespace deepspeed::aio
