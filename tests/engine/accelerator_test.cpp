#include "deepspeed/engine/accelerator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "deepspeed/engine/parse_config.h"

namespace deepspeed::engine {
namespace {

DeepspeedConfig config_with(const std::string& keys) {
  return parse_config(R"({"train_batch_size": 1, "optimizer": {"type": "AdamW"})" + keys + "}", 1);
}

std::string refusal(const std::string& keys, at::Device device = at::Device(at::kCUDA, 0)) {
  try {
    check_accelerator(config_with(keys), device);
    return "";
  } catch (const base::Error& error) {
    return error.what();
  }
}

TEST(Accelerator, WhatGpusDoNotHaveYetIsRefusedByItsKey) {
  const std::string zero3 = R"(, "zero_optimization": {"stage": 3, )";
  const std::pair<std::string, const char*> cases[] = {
      {zero3 + R"("offload_optimizer": {"device": "nvme", "nvme_path": "/tmp"}})",
       "offload_optimizer.device \"nvme\""},
      {zero3 + R"("offload_optimizer": {"device": "cpu", "ratio": 0.5}})", "offload_optimizer.ratio below 1"},
      {zero3 + R"("offload_param": {"device": "cpu"}})", "zero_optimization.offload_param"},
      {zero3 + R"("zero_quantized_weights": true})", "zero_quantized_weights"},
      {zero3 + R"("zero_quantized_gradients": true})", "zero_quantized_gradients"},
      {zero3 + R"("zero_hpz_partition_size": 2})", "zero_hpz_partition_size"},
      {zero3 + R"("mics_shard_size": 1})", "mics_shard_size"},
      {R"(, "torch_autocast": {"enabled": true, "dtype": "bfloat16"})", "torch_autocast"},
  };
  for (const auto& [keys, named] : cases) {
    EXPECT_THAT(refusal(keys), testing::HasSubstr("not available yet on a GPU: ")) << keys;
    EXPECT_THAT(refusal(keys), testing::HasSubstr(named)) << keys;
    EXPECT_EQ(refusal(keys, at::kCPU), "") << keys;
  }
}

TEST(Accelerator, WhatGpusHaveIsNotRefused) {
  for (const int stage : {0, 1, 2, 3}) {
    EXPECT_EQ(refusal(fmt::format(R"(, "zero_optimization": {{"stage": {}}})", stage)), "");
    EXPECT_EQ(
        refusal(fmt::format(
            R"(, "bf16": {{"enabled": true}}, "zero_optimization": {{"stage": {}, "offload_optimizer": {{"device": "cpu"}}}})",
            stage)),
        "");
  }
}

TEST(Accelerator, ABatchForTheCpuStaysAsItIs) {
  const std::vector<at::Tensor> batch{at::arange(3)};
  EXPECT_TRUE(on_device(batch, at::kCPU)[0].is_same(batch[0]));
}

}  // namespace
}  // namespace deepspeed::engine
