#pragma once

namespace deepspeed::base {

/// This library's version, for example "0.1.0".
const char* version();

}  // namespace deepspeed::base
