#include "deepspeed/base/version.h"

namespace deepspeed::base {

const char* version() { return DS_VERSION; }

}  // namespace deepspeed::base
