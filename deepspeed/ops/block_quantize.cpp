#include "deepspeed/ops/block_quantize.h"

#include <algorithm>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/block_quantize_kernel.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {
namespace {

constexpr int64_t kElementsPerThread = 1 << 17;

int64_t blocks_of(const BlockCode& code, int64_t n) { return (n + code.block - 1) / code.block; }

int64_t code_bytes(const BlockCode& code, int64_t n) {
  const int64_t group = cpu::kCodedGroup * 8 / code.bits;
  return (n + group - 1) / group * cpu::kCodedGroup;
}

int parameters_of(const BlockCode& code) { return code.symmetric ? 1 : 2; }

void check(const BlockCode& code, int64_t n) {
  DS_CHECK(code.bits == 8 || code.bits == 4 || code.bits == 2, "block quantization in {} bits: 8, 4 or 2",
           code.bits);
  DS_CHECK(code.block > 0 && code.block % 64 == 0,
           "block quantization: a block of {} elements is no multiple of 64", code.block);
  DS_CHECK(n >= 0, "block quantization of {} elements", n);
}

const cpu::BlockQuantizeKernels& kernels() {
  static const auto chosen = cpu::block_quantize_kernels(chosen_isa("block_quantize"));
  return chosen;
}

int64_t size_of(Element element) { return element == Element::kFp32 ? 4 : 2; }

// body(block number, its first element, its elements), on the compute threads.
template <class Body>
void each_block(const BlockCode& code, int64_t n, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, kElementsPerThread / code.block);
  parallel_ranges(blocks_of(code, n), grain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) body(b, b * code.block, std::min(code.block, n - b * code.block));
  });
}

}  // namespace

int64_t coded_bytes(const BlockCode& code, int64_t n) {
  check(code, n);
  return code_bytes(code, n) + blocks_of(code, n) * parameters_of(code) * int64_t{sizeof(float)};
}

void block_quantize(const BlockCode& code, const void* values, Element element, int64_t n, uint8_t* coded) {
  check(code, n);
  auto* parameters = reinterpret_cast<float*>(coded + code_bytes(code, n));
  const auto* bytes = static_cast<const uint8_t*>(values);
  each_block(code, n, [&](int64_t block, int64_t first, int64_t count) {
    kernels().quantize(bytes + first * size_of(element), element, count, {code.bits, code.symmetric},
                       coded + first * code.bits / 8, parameters + block * parameters_of(code));
  });
}

void block_dequantize(const BlockCode& code, std::span<const uint8_t* const> coded, int64_t n, void* values,
                      Element element) {
  check(code, n);
  DS_CHECK(!coded.empty(), "block quantization: the sum of no arrays");
  auto* bytes = static_cast<uint8_t*>(values);
  each_block(code, n, [&](int64_t block, int64_t first, int64_t count) {
    constexpr size_t kAtOnce = 64;
    cpu::CodedBlock few[kAtOnce];
    std::vector<cpu::CodedBlock> many(coded.size() > kAtOnce ? coded.size() : 0);
    cpu::CodedBlock* blocks = many.empty() ? few : many.data();
    for (size_t i = 0; i < coded.size(); ++i)
      blocks[i] = {
          coded[i] + first * code.bits / 8,
          reinterpret_cast<const float*>(coded[i] + code_bytes(code, n)) + block * parameters_of(code)};
    kernels().dequantize(blocks, static_cast<int64_t>(coded.size()), count, {code.bits, code.symmetric},
                         bytes + first * size_of(element), element);
  });
}

}  // namespace deepspeed::ops
