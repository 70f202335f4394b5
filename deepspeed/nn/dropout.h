// Where dropout happens: a site with its own random stream, drawn from the rank's counter-based generator.
#pragma once

#include <memory>
#include <string_view>

#include "deepspeed/accel/rng.h"

namespace deepspeed::nn {

/// The random state that all dropout sites of one model replica share. The engine sets its step before every
/// micro-batch.
using RngPtr = std::shared_ptr<accel::Rng>;

/// One place that drops: the same site at the same step draws the same mask, in forward, backward and
/// recomputation.
class DropoutSite {
 public:
  DropoutSite(double p, RngPtr rng, std::string_view name);
  /// 0 outside training.
  double p(bool training) const { return training ? p_ : 0.0; }
  accel::RngKey key() const { return rng_ ? rng_->key(site_) : accel::RngKey{}; }

 private:
  double p_;
  RngPtr rng_;
  uint64_t site_;
};

}  // namespace deepspeed::nn
