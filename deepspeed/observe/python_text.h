// Numbers as Python prints them, for files and lines that equal DeepSpeed's.
#pragma once

#include <string>

namespace deepspeed::observe {

/// repr() of a float: the shortest text that reads back the same, "1.0", "1e-05", "inf", "nan".
std::string python_float(double value);

}  // namespace deepspeed::observe
