#include "deepspeed/nn/init.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {
namespace {

float element(const Init& init, accel::RngKey key, uint64_t index) {
  switch (init.kind) {
    case Init::Kind::kConstant:
      return static_cast<float>(init.a);
    case Init::Kind::kNormal:
      return static_cast<float>(init.a + init.b * accel::normal(key, index));
    case Init::Kind::kUniform:
      return static_cast<float>(init.a + (init.b - init.a) * accel::uniform(key, index));
  }
  return 0;
}

void fill_rule(const Init& init, accel::RngKey key, int64_t begin, const at::Tensor& slice) {
  if (init.kind == Init::Kind::kConstant) {
    slice.fill_(init.a);
    return;
  }
  at::Tensor values = slice.scalar_type() == at::kFloat ? slice : at::empty({slice.numel()}, at::kFloat);
  float* out = values.data_ptr<float>();
  at::parallel_for(0, slice.numel(), 1 << 14, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) out[i] = element(init, key, static_cast<uint64_t>(begin + i));
  });
  if (!values.is_same(slice)) slice.copy_(values);
}

}  // namespace

void fill_init(const Init& init, accel::RngKey key, int64_t begin, at::Tensor slice) {
  DS_CHECK(slice.dim() == 1 && slice.is_contiguous() && slice.device().is_cpu(),
           "initialisation fills contiguous one-dimensional CPU slices");
  fill_rule(init, key, begin, slice);
  const int64_t from = std::clamp<int64_t>(init.zeros_begin - begin, 0, slice.numel()),
                to = std::clamp<int64_t>(init.zeros_end - begin, 0, slice.numel());
  if (from < to) slice.narrow(0, from, to - from).zero_();
}

}  // namespace deepspeed::nn
