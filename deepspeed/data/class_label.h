// Classes as files write them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "deepspeed/text/labelled_lines.h"

namespace deepspeed::data {

/// The class's number, in [0, classes). `names` are those a file may call the classes by, in their order.
/// Errors begin with `where`: a name that is none of them, a number outside, a fraction.
int64_t class_of(const text::Label& label, int64_t classes, const std::vector<std::string>& names,
                 const std::string& where);

}  // namespace deepspeed::data
