// Every instruction set's kernel against the plain one, and the random words bit for bit.
#include <gmock/gmock.h>

#include <functional>
#include <vector>

#include "deepspeed/accel/rng.h"
#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/attention_kernel.h"
#include "deepspeed/ops/cpu/dropout_kernel.h"
#include "deepspeed/ops/cpu/rotary_kernel.h"

namespace deepspeed::ops::cpu {
namespace {

struct Path {
  bool present;
  AttentionKernel attention;
  DropoutKernel dropout;
  RotaryKernel rotary;
  WordsKernel words;
};

std::vector<Path> paths() {
  const auto& f = base::cpu_features();
  return {{true, attention_scalar(), dropout_scalar, rotary_scalar, philox_words_scalar},
          {f.avx2, attention_avx2(), dropout_avx2, rotary_avx2, philox_words_avx2},
          {f.avx512, attention_avx512(), dropout_avx512, rotary_avx512, philox_words_avx512}};
}

std::vector<float> values(int64_t count, uint64_t stream) {
  std::vector<float> v(static_cast<size_t>(count));
  for (size_t i = 0; i < v.size(); ++i) v[i] = accel::normal({1, stream}, i);
  return v;
}

TEST(IsaPaths, MakeTheRandomWordsOfPhiloxAlsoWhereCountersCarry) {
  for (uint64_t stream : {uint64_t{0}, uint64_t{0xfedcba9876543210}}) {
    for (int64_t begin : {int64_t{0}, int64_t{1} << 29, (int64_t{1} << 29) - 1, (int64_t{1} << 45) + 7}) {
      const accel::RngKey key{0x0123456789abcdef, stream};
      for (const Path& path : paths()) {
        if (!path.present) continue;
        std::vector<uint32_t> words(96);
        path.words(key.seed, key.stream, begin, begin + 3, words.data());
        for (size_t i = 0; i < words.size(); ++i) {
          const uint64_t index = static_cast<uint64_t>(begin) * 32 + i;
          ASSERT_EQ(words[i], accel::philox(key, index / 4)[index % 4]) << index;
        }
      }
    }
  }
}

TEST(IsaPaths, DropoutHasTheSameBits) {
  const std::vector<float> x = values(1000, 1), residual = values(1000, 2);
  for (double p : {0.1, 0.5, 1e-7, 1 - 1e-9}) {
    std::vector<float> first;
    for (const Path& path : paths()) {
      if (!path.present) continue;
      std::vector<float> y(x.size());
      path.dropout({dropout_mask(p, 3, 4), x.data(), residual.data(), y.data(), false}, 0, 1000);
      if (first.empty()) first = y;
      EXPECT_EQ(y, first);
    }
  }
}

TEST(IsaPaths, ThresholdKeepsExactlyWhatUniformKeeps) {
  for (double p : {0.1, 0.25, 0.3, 1e-9, 0.9999999, 5.9604644775390625e-08}) {
    const DropoutMask mask = dropout_mask(p, 9, 9);
    for (uint32_t bits : {0u, 1u, 2u, 0x199999u, 0x19999Au, 0x400000u, 0x3FFFFFu, 0xFFFFFEu, 0xFFFFFFu}) {
      const uint32_t word = bits << 8 | 0x5A;
      EXPECT_EQ(word >= mask.threshold && mask.keep_scale > 0, static_cast<float>(bits) * 0x1p-24f >= p)
          << p << " " << bits;
    }
  }
}

struct Buffers {
  std::vector<float> q = values(3 * 140 * 24, 1), k = values(3 * 140 * 24, 2), v = values(3 * 140 * 24, 3);
  std::vector<float> grad = values(3 * 140 * 24, 4), out = q, lse = std::vector<float>(3 * 140), gq = q,
                     gk = q, gv = q;

  AttentionArgs args() {
    AttentionArgs a{};
    a.batch = 1;
    a.heads = a.kv_heads = 3;
    a.queries = a.keys = 140;
    a.dim = 24;
    a.causal = a.dropout = true;
    a.scale = 0.2f;
    a.drop_threshold = 0x20000000;
    a.keep_scale = 8.0f / 7;
    a.log_sum_exp = lse.data();
    const auto view = [](std::vector<float>& x) { return HeadView{x.data(), 0, 140 * 24, 24}; };
    a.q = view(q), a.k = view(k), a.v = view(v), a.out = view(out);
    a.grad_out = view(grad), a.grad_q = view(gq), a.grad_k = view(gk), a.grad_v = view(gv);
    return a;
  }
};

void expect_near(const std::vector<float>& a, const std::vector<float>& b, float tolerance) {
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

// Every path gives what the first present one gives for the same arguments, forward and backward.
void expect_attention_agrees(const std::function<void(AttentionArgs&)>& prepare) {
  Buffers first;
  bool have_first = false;
  for (const Path& path : paths()) {
    if (!path.present) continue;
    Buffers s;
    AttentionArgs a = s.args();
    prepare(a);
    std::vector<float> scratch(
        static_cast<size_t>(path.attention.forward_scratch(a) + path.attention.backward_scratch(a)));
    path.attention.forward(a, 0, 3, scratch.data());
    path.attention.backward(a, 0, 3, scratch.data());
    if (!have_first) first = s;
    have_first = true;
    expect_near(s.out, first.out, 2e-6f);
    expect_near(s.lse, first.lse, 2e-6f);
    expect_near(s.gq, first.gq, 1e-5f);
    expect_near(s.gk, first.gk, 1e-5f);
    expect_near(s.gv, first.gv, 1e-5f);
  }
}

TEST(IsaPaths, AttentionAgreesForwardAndBackwardWithAndWithoutLinearBiases) {
  const std::vector<float> slopes = {0.5f, 0.25f, 0.002f};
  for (const float* alibi : {static_cast<const float*>(nullptr), slopes.data()})
    expect_attention_agrees([&](AttentionArgs& a) { a.alibi_slopes = alibi; });
}

TEST(IsaPaths, CappedAttentionAgrees) {
  for (float cap : {0.3f, 2.0f, 50.0f}) expect_attention_agrees([&](AttentionArgs& a) { a.softcap = cap; });
}

TEST(IsaPaths, AttentionOfPackedDocumentsAgrees) {
  std::vector<int32_t> starts(140);
  for (size_t t = 0; t < starts.size(); ++t) starts[t] = t < 5 ? 0 : t < 60 ? 5 : t < 61 ? 60 : 61;
  expect_attention_agrees([&](AttentionArgs& a) { a.first_key = starts.data(); });
}

TEST(IsaPaths, AttentionOfPaddedRowsAgrees) {
  const int32_t end = 77;
  expect_attention_agrees([&](AttentionArgs& a) {
    a.causal = false;
    a.end_key = &end;
  });
}

TEST(IsaPaths, RotaryAgrees) {
  const std::vector<float> x = values(5 * 40, 1), cos = values(5 * 18, 2), sin = values(5 * 18, 3);
  for (bool interleaved : {false, true}) {
    std::vector<float> first;
    for (const Path& path : paths()) {
      if (!path.present) continue;
      std::vector<float> y(x.size());
      path.rotary({x.data(), y.data(), 1, 5, 40, 36, 200, 200, 40, 200, 200, 40, cos.data(), sin.data(), 1,
                   interleaved, false, 0},
                  0, 5);
      if (first.empty()) first = y;
      expect_near(y, first, 2e-6f);
    }
  }
}

}  // namespace
}  // namespace deepspeed::ops::cpu
