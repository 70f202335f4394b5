#include "deepspeed/comm/local_reduce.h"

#include <ATen/ATen.h>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {
namespace {

void combine(at::Tensor output, const at::Tensor& a, const at::Tensor& b, ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
    case ReduceOp::kAvg:
      at::add_out(output, a, b);
      return;
    case ReduceOp::kProduct:
      at::mul_out(output, a, b);
      return;
    case ReduceOp::kMin:
      at::minimum_out(output, a, b);
      return;
    case ReduceOp::kMax:
      at::maximum_out(output, a, b);
      return;
    case ReduceOp::kBand:
      at::bitwise_and_out(output, a, b);
      return;
    case ReduceOp::kBor:
      at::bitwise_or_out(output, a, b);
      return;
    case ReduceOp::kBxor:
      at::bitwise_xor_out(output, a, b);
      return;
  }
}

// A tile at a time, so that the fp32 sums stay in cache and cost no memory to speak of.
void sum_in_fp32(const at::Tensor& output, const std::vector<at::Tensor>& parts, bool average) {
  constexpr int64_t kTile = 1 << 16;
  for (int64_t begin = 0; begin < output.numel(); begin += kTile) {
    const int64_t length = std::min(kTile, output.numel() - begin);
    at::Tensor sum = parts[0].narrow(0, begin, length).to(at::kFloat);
    for (size_t i = 1; i < parts.size(); ++i) sum.add_(parts[i].narrow(0, begin, length));
    if (average) sum.div_(static_cast<double>(parts.size()));
    output.narrow(0, begin, length).copy_(sum);
  }
}

}  // namespace

void reduce_parts(const at::Tensor& output, const std::vector<at::Tensor>& parts, ReduceOp op) {
  const bool sums = op == ReduceOp::kSum || op == ReduceOp::kAvg;
  const bool half = output.scalar_type() == at::kHalf || output.scalar_type() == at::kBFloat16;
  if (output.numel() == 0) return;
  if (sums && half && parts.size() > 2) return sum_in_fp32(output, parts, op == ReduceOp::kAvg);
  if (parts.size() == 1) {
    if (!overlaps(output, parts[0])) output.copy_(parts[0]);
    return;
  }
  auto rest = parts;
  for (size_t i = 2; i < rest.size(); ++i) {
    if (overlaps(output, rest[i])) rest[i] = rest[i].clone();
  }
  combine(output, rest[0], rest[1], op);
  for (size_t i = 2; i < rest.size(); ++i) combine(output, output, rest[i], op);
  if (op == ReduceOp::kAvg) at::Tensor(output).div_(static_cast<double>(parts.size()));
}

void check_reduce_op(ReduceOp op, at::ScalarType dtype) {
  const auto name = at::toString(dtype);
  if (op == ReduceOp::kAvg) {
    DS_CHECK(at::isFloatingType(dtype), "kAvg needs a floating dtype, got {}: use kSum", name);
  }
  if (op == ReduceOp::kBand || op == ReduceOp::kBor || op == ReduceOp::kBxor) {
    DS_CHECK(at::isIntegralType(dtype, /*includeBool=*/true),
             "bitwise operations need an integral dtype, got {}", name);
  }
  if (dtype == at::kBool) {
    DS_CHECK(op != ReduceOp::kSum && op != ReduceOp::kProduct,
             "a bool takes kMin, kMax, kBand, kBor or kBxor");
  }
}

bool overlaps(const at::Tensor& a, const at::Tensor& b) {
  const auto* a0 = static_cast<const char*>(a.const_data_ptr());
  const auto* b0 = static_cast<const char*>(b.const_data_ptr());
  return a0 < b0 + b.nbytes() && b0 < a0 + a.nbytes();
}

}  // namespace deepspeed::comm
