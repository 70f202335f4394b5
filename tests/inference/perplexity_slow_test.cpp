// Gemma-3 270M's perplexity on the King James text, from its Q4_K_M file: beside llama.cpp's of the same file
// on the same windows (benchmarks/peers/perplexity.py measures both again), and quantized beside not.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "deepspeed/base/env.h"
#include "deepspeed/base/file.h"
#include "deepspeed/inference/long_text.h"
#include "deepspeed/inference/perplexity.h"
#include "deepspeed/inference/quantize_model.h"

namespace deepspeed::inference {
namespace {

namespace fs = std::filesystem;
using config::Json;

// benchmarks/peers/perplexity_rival.py of llama-cpp-python 0.3, 32 windows of 512 spread evenly over the
// text.
constexpr double kLlamaCpp = 12.830;
constexpr int64_t kWindow = 512, kScored = 32;

struct Text {
  std::vector<int32_t> scored, rest;  // whole windows
};

Text windows_of(const std::vector<int32_t>& ids) {
  const auto count = static_cast<int64_t>(ids.size()) / kWindow;
  Text text;
  int64_t next = 0;
  for (int64_t i = 0; i < count; ++i) {
    const bool scored = next < kScored && i == next * count / kScored;
    next += scored;
    auto& to = scored ? text.scored : text.rest;
    to.insert(to.end(), ids.begin() + i * kWindow, ids.begin() + (i + 1) * kWindow);
  }
  return text;
}

double perplexity_of(const std::string& model, const Json& form, const std::vector<int32_t>& ids) {
  const auto engine = init_inference(model, "", form);
  return perplexity(*engine, ids, kWindow, token_of_beginning(*engine)).value;
}

// Every 30th window or so of those that are not scored, 64 in all.
void write_calibration(const fs::path& path, const std::vector<int32_t>& rest) {
  const int64_t count = static_cast<int64_t>(rest.size()) / kWindow, step = std::max<int64_t>(1, count / 64);
  std::string bytes;
  for (int64_t i = 0; i < count; i += step)
    bytes.append(reinterpret_cast<const char*>(rest.data() + i * kWindow), kWindow * sizeof(int32_t));
  base::write_text_file(path, bytes);
}

TEST(PerplexitySlow, IsLlamaCppsAndHardlyMoreInFewerBits) {
  const fs::path models =
      base::env("DEEPSPEED_MODELS").value_or(base::env("HOME").value_or("") + "/.cache/deepspeed-models");
  const fs::path file = models / "gemma-3-270m-q4_k_m.gguf";
  if (!fs::exists(file))
    GTEST_SKIP() << "SKIPPED, not tested: " << file << " is missing (./dev models fetches it)";
  const fs::path work = fs::temp_directory_path() / ("ds_perplexity_" + std::to_string(::getpid()));
  fs::create_directories(work);
  const std::string make = DS_SOURCE_DIR "/examples/gpt2/make_text.sh " + (work / "kjv.txt").string();
  ASSERT_EQ(std::system(make.c_str()), 0);
  const Text text = [&] {
    const auto engine = init_inference(file.string(), "", {{"dtype", "bf16"}});
    return windows_of(read_tokens(*engine, work / "kjv.txt"));
  }();
  const Json sixteen = {{"activation", {{"enabled", false}}}};
  const double bf16 = perplexity_of(file, {{"dtype", "bf16"}, {"kernel_inject", true}}, text.scored),
               int8 = perplexity_of(file, {{"dtype", "int8"}, {"quant", sixteen}}, text.scored);
  EXPECT_NEAR(bf16 / kLlamaCpp, 1, 5e-3);
  EXPECT_LT(int8 / bf16, 1.01);
  write_calibration(work / "calibration.bin", text.rest);
  quantize_model(file, work / "int4",
                 {.files = {.weights = {.scheme = ops::PackedScheme::kInt4, .asymmetric = true},
                            .eight_bits = {"value", "down"}},
                  .calibration = work / "calibration.bin",
                  .calibration_windows = 64});
  const double int4 = perplexity_of(work / "int4", {{"dtype", "int8"}}, text.scored);
  EXPECT_LT(int4 / bf16, 1.05);
  std::printf("bf16 %.3f, int8 %.3f, int4 %.3f\n", bf16, int8, int4);
  fs::remove_all(work);
}

}  // namespace
}  // namespace deepspeed::inference
