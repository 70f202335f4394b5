// How fast the compute threads read memory here, as one JSON line: what decoding, which reads every weight
// for every token, is held against.
#include "benchmarks/ops/read_bandwidth.h"

#include <fmt/format.h>

#include "deepspeed/base/cpu_features.h"

int main() {
  fmt::print("{{\"name\": \"read_bandwidth\", \"unit\": \"B/s\", \"ours\": {:.0f}, \"cpu\": \"{}\"}}\n",
             deepspeed::benchmarks::read_bandwidth(), deepspeed::base::cpu_summary());
}
