#include "deepspeed/accel/autocast.h"

#include <ATen/autocast_mode.h>

namespace deepspeed::accel {
namespace {

constexpr auto kDevice = at::kCPU;

}  // namespace

Autocast::Autocast(std::optional<at::ScalarType> type, Casts casts)
    : enabled_(at::autocast::is_autocast_enabled(kDevice)),
      keeps_casts_(at::autocast::is_autocast_cache_enabled()),
      type_(at::autocast::get_autocast_dtype(kDevice)) {
  at::autocast::set_autocast_enabled(kDevice, type.has_value());
  if (type) at::autocast::set_autocast_dtype(kDevice, *type);
  at::autocast::set_autocast_cache_enabled(casts == Casts::kKept);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(kDevice, enabled_);
  at::autocast::set_autocast_dtype(kDevice, type_);
  at::autocast::set_autocast_cache_enabled(keeps_casts_);
}

std::optional<at::ScalarType> Autocast::current() {
  if (!at::autocast::is_autocast_enabled(kDevice)) return std::nullopt;
  return at::autocast::get_autocast_dtype(kDevice);
}

at::Tensor autocast(const at::Tensor& t) {
  const auto type = Autocast::current();
  return type && t.defined() ? at::autocast::cached_cast(*type, t, kDevice) : t;
}

}  // namespace deepspeed::accel
