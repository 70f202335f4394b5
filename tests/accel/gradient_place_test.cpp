#include "deepspeed/accel/gradient_place.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace deepspeed::accel {
namespace {

TEST(GradientPlace, IsWhatTheLeafsCollectorGivesInTheLeafsShape) {
  const at::Tensor leaf = at::zeros({2, 3}), other = at::zeros({2, 3}), memory = at::zeros({6});
  const auto offer = offer_gradient_place(leaf, [memory] { return memory; });
  EXPECT_TRUE(has_gradient_place(leaf));
  EXPECT_FALSE(has_gradient_place(other));
  EXPECT_FALSE(gradient_place(other).defined());
  const at::Tensor place = gradient_place(leaf);
  EXPECT_EQ(place.sizes(), leaf.sizes());
  EXPECT_EQ(place.data_ptr(), memory.data_ptr());
}

TEST(GradientPlace, IsHeldByWhoAskedAlone) {
  const at::Tensor leaf = at::zeros({2, 3});
  const auto offer = offer_gradient_place(leaf, [] { return at::zeros({6}); });
  const at::Tensor place = gradient_place(leaf);
  EXPECT_EQ(place.use_count(), 1);
  EXPECT_EQ(place.storage().use_count(), 1);
}

TEST(GradientPlace, EndsWithItsOfferUnlessAnotherReplacedIt) {
  const at::Tensor leaf = at::zeros({2});
  auto first = offer_gradient_place(leaf, [] { return at::ones({2}); });
  auto second = offer_gradient_place(leaf, [] { return at::full({2}, 2.0); });
  first.reset();
  EXPECT_EQ(gradient_place(leaf)[0].item<double>(), 2);
  second.reset();
  EXPECT_FALSE(has_gradient_place(leaf));
}

TEST(GradientPlace, MayBeRefusedAnyTime) {
  const at::Tensor leaf = at::zeros({2});
  const auto offer = offer_gradient_place(leaf, [] { return at::Tensor(); });
  EXPECT_TRUE(has_gradient_place(leaf));
  EXPECT_FALSE(gradient_place(leaf).defined());
}

}  // namespace
}  // namespace deepspeed::accel
