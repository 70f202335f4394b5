// What 16-bit training does with buffers: data_types.buffer_dtype and keep_in_fp32_modules.
#include <gtest/gtest.h>

#include "deepspeed/comm/ranks.h"
#include "deepspeed/engine/initialize.h"

namespace deepspeed::engine {
namespace {

struct Gate : torch::nn::Module {
  at::Tensor weight = register_parameter("weight", at::ones({3}));
  at::Tensor bias = register_buffer("score_bias", at::full({3}, 5.03, at::kFloat));
  at::Tensor count = register_buffer("count", at::zeros({1}, at::kLong));
};

struct Model : torch::nn::Module {
  std::shared_ptr<Gate> gate = register_module("gate", std::make_shared<Gate>());
  at::Tensor angles = register_buffer("angles", at::full({2}, 0.1, at::kFloat));
  at::Tensor rounded = register_buffer("rounded", at::full({2}, 0.1, at::kBFloat16));
};

std::map<std::string, at::ScalarType> types_after(const std::string& precision,
                                                  const std::string& data_types) {
  std::map<std::string, at::ScalarType> types;
  comm::run_ranks(1, [&](comm::GroupPtr group) {
    auto model = std::make_shared<Model>();
    auto ready =
        initialize({.model = model,
                    .config = fmt::format(R"({{"train_batch_size": 1, "optimizer": {{"type": "Adam"}},
                               "{}": {{"enabled": true}}, "data_types": {{{}}}}})",
                                          precision, data_types),
                    .group = group});
    for (const auto& entry : model->named_parameters()) types[entry.key()] = entry.value().scalar_type();
    for (const auto& entry : model->named_buffers()) types[entry.key()] = entry.value().scalar_type();
    // The member is the tensor that was registered: whoever holds it sees the cast.
    EXPECT_EQ(model->gate->bias.scalar_type(), types["gate.score_bias"]);
  });
  return types;
}

using Types = std::map<std::string, at::ScalarType>;
constexpr auto kB = at::kBFloat16, kF = at::kFloat, kH = at::kHalf;

TEST(Buffers, StayAsTheyWereLoaded) {
  EXPECT_EQ(types_after("bf16", ""), (Types{{"gate.weight", kB},
                                            {"gate.score_bias", kF},
                                            {"gate.count", at::kLong},
                                            {"angles", kF},
                                            {"rounded", kB}}));
}

TEST(Buffers, AreCastWhereBufferDtypeSaysSo) {
  EXPECT_EQ(types_after("fp16", R"("buffer_dtype": "fp16")"), (Types{{"gate.weight", kH},
                                                                     {"gate.score_bias", kH},
                                                                     {"gate.count", at::kLong},
                                                                     {"angles", kH},
                                                                     {"rounded", kH}}));
}

TEST(Buffers, AreKeptInOrBroughtToFp32ByNameButParametersAreNot) {
  EXPECT_EQ(types_after("bf16", R"("buffer_dtype": "bf16", "keep_in_fp32_modules": ["gate", "round*d"])"),
            (Types{{"gate.weight", kB},
                   {"gate.score_bias", kF},
                   {"gate.count", at::kLong},
                   {"angles", kB},
                   {"rounded", kF}}));
}

TEST(Buffers, AreLeftAloneInFp32) {
  EXPECT_EQ(types_after("torch_autocast", R"("buffer_dtype": "bf16", "keep_in_fp32_modules": ["rounded"])"),
            (Types{{"gate.weight", kF},
                   {"gate.score_bias", kF},
                   {"gate.count", at::kLong},
                   {"angles", kF},
                   {"rounded", kB}}));
}

}  // namespace
}  // namespace deepspeed::engine
