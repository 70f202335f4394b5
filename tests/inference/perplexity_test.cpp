#include "deepspeed/inference/perplexity.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "deepspeed/base/error.h"
#include "tiny_models.h"

namespace deepspeed::inference {
namespace {

std::unique_ptr<InferenceEngine> engine() {
  return init_inference(tiny_folder("llama").string(), "", {{"dtype", "fp32"}});
}

std::vector<int32_t> some_tokens(int64_t vocabulary, size_t count) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((i * 31 + 7) % static_cast<size_t>(vocabulary)));
  return ids;
}

TEST(Perplexity, IsThatOfTheSecondHalvesOfWindows) {
  const at::NoGradGuard no_grad;
  const auto model = engine();
  const auto ids = some_tokens(model->spec().vocab, 29);
  double sum = 0;
  int64_t count = 0;
  for (size_t window = 0; window < 3; ++window) {
    std::vector<int64_t> own(ids.begin() + static_cast<std::ptrdiff_t>(window * 8),
                             ids.begin() + static_cast<std::ptrdiff_t>(window * 8 + 8));
    own[0] = 5;
    const at::Tensor log_p = at::log_softmax(
        model->decoder().logits(at::tensor(own, at::kLong).unsqueeze(0))[0].to(at::kDouble), -1);
    for (int64_t t = 4; t < 7; ++t, ++count) sum -= log_p[t][own[static_cast<size_t>(t) + 1]].item<double>();
  }
  const Perplexity found = perplexity(*model, ids, 8, 5);
  EXPECT_EQ(found.tokens, count);
  EXPECT_NEAR(found.value, std::exp(sum / static_cast<double>(count)), 1e-4 * found.value);
  EXPECT_GT(found.error, 0);
  EXPECT_EQ(perplexity(*model, ids, 8, 5, 1).tokens, 3);
  EXPECT_NE(perplexity(*model, ids, 8).value, found.value) << "windows begin with their own tokens";
}

TEST(Perplexity, RefusesWhatItCannotScore) {
  const auto model = engine();
  const auto ids = some_tokens(model->spec().vocab, 29);
  EXPECT_THROW(perplexity(*model, ids, 30), base::Error) << "fewer tokens than a window";
  EXPECT_THROW(perplexity(*model, ids, 3), base::Error);
  EXPECT_THROW(perplexity(*model, ids, model->spec().max_positions + 1), base::Error);
  EXPECT_THROW(perplexity(*model, {1, 2, 3, static_cast<int32_t>(model->spec().vocab)}, 4), base::Error);
  EXPECT_THROW(perplexity(*model, {1, 2, 3, -1}, 4), base::Error);
}

}  // namespace
}  // namespace deepspeed::inference
