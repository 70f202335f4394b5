#include "deepspeed/nn/dropout.h"

#include "deepspeed/base/error.h"

namespace deepspeed::nn {

DropoutSite::DropoutSite(double p, RngPtr rng, std::string_view name)
    : p_(p), rng_(std::move(rng)), site_(accel::hash_name(name)) {
  DS_CHECK(p >= 0 && p < 1, "dropout probability of '{}' must lie in [0, 1), got {}", name, p);
  DS_CHECK(p == 0 || rng_ != nullptr, "dropout '{}' needs the model's random state", name);
}

}  // namespace deepspeed::nn
