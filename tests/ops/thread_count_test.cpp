// How many compute threads there are decides how long the ops take, not what they give.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>

#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/rms_norm.h"
#include "deepspeed/ops/rotary.h"
#include "deepspeed/ops/swiglu.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;
using Inputs = std::vector<at::Tensor>;
using Op = std::function<at::Tensor(const Inputs&)>;

// The result and the gradients with so many threads.
Inputs run(const Op& op, const Inputs& given, int threads) {
  at::set_num_threads(threads);
  Inputs inputs;
  for (const at::Tensor& t : given) inputs.push_back(leaf(t));
  const at::Tensor y = op(inputs);
  Inputs all = gradients(y, inputs, values(y.sizes(), y.scalar_type(), 1, 99));
  all.push_back(y.detach());
  at::set_num_threads(1);
  return all;
}

void expect_alike(const Op& op, const Inputs& inputs) {
  const Inputs one = run(op, inputs, 1), three = run(op, inputs, 3);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], three[i])) << i;
}

TEST(ThreadCount, ChangesNoBitOfAttention) {
  for (int64_t queries : {1, 3, 70})
    for (at::ScalarType type : {at::kFloat, at::kBFloat16})
      expect_alike([](const Inputs& t) { return attention(t[0], t[1], t[2]); },
                   {values({2, 4, queries, 32}, type), values({2, 2, 70, 32}, type, 1, 2),
                    values({2, 2, 70, 32}, type, 1, 3)});
}

TEST(ThreadCount, ChangesNoBitOfNormsActivationsAndRotaryAngles) {
  const at::Tensor x = values({300, 256}, at::kFloat, 1, 4), weight = values({256}),
                   heads = values({2, 5, 130, 32});
  const RotaryTable table = rotary_table(32, 130, 0);
  expect_alike([](const Inputs& t) { return rms_norm(t[0], t[1], 1e-6); }, {x, weight});
  expect_alike([](const Inputs& t) { return layer_norm(t[0], t[1], t[2], 1e-6); }, {x, weight, weight});
  expect_alike([](const Inputs& t) { return gelu(t[0], GeluKind::kErf); }, {x});
  expect_alike([](const Inputs& t) { return swiglu(t[0], t[1]); }, {x, x * 2});
  expect_alike([&](const Inputs& t) { return rotary(t[0], table); }, {heads});
}

}  // namespace
}  // namespace deepspeed::ops
