#include "deepspeed/observe/python_text.h"

#include <fmt/format.h>

#include <cmath>

namespace deepspeed::observe {

std::string python_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace deepspeed::observe
