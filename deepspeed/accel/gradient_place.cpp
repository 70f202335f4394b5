#include "deepspeed/accel/gradient_place.h"

#include <mutex>
#include <unordered_map>

namespace deepspeed::accel {
namespace {

// Ranks may be threads, whose leaves differ.
struct Offers {
  std::mutex mutex;
  std::unordered_map<const void*, std::shared_ptr<GradientPlace>> by_leaf;

  std::shared_ptr<GradientPlace> find(const at::Tensor& leaf) {
    const std::lock_guard lock(mutex);
    const auto found = by_leaf.find(leaf.unsafeGetTensorImpl());
    return found == by_leaf.end() ? nullptr : found->second;
  }
};

Offers& offers() {
  static Offers all;
  return all;
}

}  // namespace

std::shared_ptr<void> offer_gradient_place(const at::Tensor& leaf, GradientPlace place) {
  auto offer = std::make_shared<GradientPlace>(std::move(place));
  const void* key = leaf.unsafeGetTensorImpl();
  {
    const std::lock_guard lock(offers().mutex);
    offers().by_leaf[key] = offer;
  }
  return {offer.get(), [key, offer](void*) {
            const std::lock_guard lock(offers().mutex);
            const auto found = offers().by_leaf.find(key);
            if (found != offers().by_leaf.end() && found->second == offer) offers().by_leaf.erase(found);
          }};
}

bool has_gradient_place(const at::Tensor& leaf) { return offers().find(leaf) != nullptr; }

at::Tensor gradient_place(const at::Tensor& leaf) {
  const auto offer = offers().find(leaf);
  at::Tensor place = offer ? (*offer)() : at::Tensor();
  // A view would hold the tensor that it is of, and autograd would then add to neither in place.
  if (place.defined()) place.unsafeGetTensorImpl()->set_sizes_contiguous(leaf.sizes());
  return place;
}

}  // namespace deepspeed::accel
