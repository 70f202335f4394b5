#include "deepspeed/zero/lent_memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

TEST(LentMemory, IsWrittenThroughATensorThatNobodyElseHolds) {
  const at::Tensor buffer = at::zeros({8});
  LentMemory memory;
  const at::Tensor lent = memory.lend(buffer.narrow(0, 2, 3));
  EXPECT_EQ(lent.storage().use_count(), 1);
  lent.fill_(1);
  EXPECT_EQ(buffer.sum().item<double>(), 3);
}

TEST(LentMemory, IsLentUntilTheLastViewIsGone) {
  LentMemory memory;
  EXPECT_FALSE(memory.is_lent());
  at::Tensor view = memory.lend(at::zeros({4})).view({2, 2});
  EXPECT_TRUE(memory.is_lent());
  EXPECT_THROW(memory.lend(at::zeros({4})), base::Error);
  view.reset();
  EXPECT_FALSE(memory.is_lent());
}

TEST(LentMemory, LeavesItsValuesWithWhoHoldsThemWhenItIsTakenBack) {
  const at::Tensor buffer = at::zeros({4});
  LentMemory memory;
  const at::Tensor lent = memory.lend(buffer), view = lent.view({2, 2});
  lent.fill_(3);
  memory.recall();
  buffer.fill_(7);
  EXPECT_TRUE(at::equal(lent, at::full({4}, 3.0)));
  EXPECT_TRUE(at::equal(view, at::full({2, 2}, 3.0)));
  EXPECT_FALSE(memory.is_lent());
  memory.recall();  // nothing is lent: nothing happens
}

TEST(LentMemory, KeepsTheBufferAlive) {
  LentMemory memory;
  at::Tensor lent = memory.lend(at::full({4}, 5.0));
  EXPECT_TRUE(at::equal(lent, at::full({4}, 5.0)));
}

}  // namespace
}  // namespace deepspeed::zero
