// Models on a GPU: every family against transformers' goldens, every form of weights against the same on the
// CPU.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "deepspeed/inference/engine.h"
#include "deepspeed/nn/fp8_projection.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/nn/linear.h"
#include "tests/parity/continuations.h"
#include "tests/support/device.h"
#include "tests/support/error_of.h"

namespace deepspeed::inference {
namespace {

using testing_support::error_of;
using testing_support::folder_of;

InferenceEngine engine_on(at::Device device, const std::string& family, const config::Json& arguments,
                          Task task = Task::kTextGeneration) {
  const InferenceConfig config = parse_inference_config("", arguments);
  return {open_model(folder_of(family).string(), config), config, task, nullptr, device};
}

TEST(InferenceDevice, EveryDecoderGoesOnAsTransformers) {
  DS_NEEDS_GPU();
  for (const std::string& family : testing_support::families()) {
    SCOPED_TRACE(family);
    InferenceEngine engine = engine_on(at::kCUDA, family, {{"dtype", "fp32"}});
    testing_support::expect_continuations(engine, testing_support::golden_of(family));
  }
}

at::Tensor tensor_of(const formats::SafetensorsFile& file, const std::string& name) {
  const auto* info = file.find(name);
  at::Tensor t = at::empty(info->shape, info->dtype == formats::Dtype::kI64 ? at::kLong : at::kFloat);
  const auto bytes = file.data(*info);
  std::memcpy(t.data_ptr(), bytes.data(), bytes.size());
  return t;
}

TEST(InferenceDevice, EveryEncodersLogitsAreTransformers) {
  DS_NEEDS_GPU();
  const at::NoGradGuard no_grad;
  for (const char* family :
       {"bert", "roberta", "xlm_roberta", "distilbert", "albert", "deberta_v2", "deberta_v2_own"}) {
    const formats::SafetensorsFile golden(testing_support::kGoldens / "logits" /
                                          (std::string(family) + "-mlm.safetensors"));
    InferenceEngine engine = engine_on(at::kCUDA, family, {{"dtype", "fp32"}}, Task::kFillMask);
    auto& model = dynamic_cast<models::MaskedLanguageModel&>(engine.module());
    const at::Tensor ends = tensor_of(golden, "ends").to(at::kInt);
    const at::Tensor logits =
        model.logits({tensor_of(golden, "ids").cuda(), tensor_of(golden, "token_types").cuda(), ends.cuda()});
    const at::Tensor off = (logits.cpu() - tensor_of(golden, "logits")).abs().amax(-1);
    EXPECT_LT(off.masked_select(at::arange(off.size(1)).unsqueeze(0) < ends.unsqueeze(1)).max().item<float>(),
              1e-4)
        << family;
  }
}

TEST(InferenceDevice, AnswersOfEncodersWithDecodersAreTheCpus) {
  DS_NEEDS_GPU();
  const std::vector<std::vector<int32_t>> prompts = {{5, 9, 17, 3}, {8, 2, 44, 12, 31, 7, 1}};
  for (const char* family : {"t5", "t5_gated"})
    for (const int beams : {1, 3}) {
      std::vector<std::vector<int32_t>> tokens;
      for (const at::Device device : {at::Device(at::kCPU), at::Device(at::kCUDA)}) {
        InferenceEngine engine = engine_on(device, family, {{"dtype", "fp32"}}, Task::kText2TextGeneration);
        for (const Answer& answer :
             engine.generate_tokens(prompts, {{"max_new_tokens", 24}, {"num_beams", beams}}))
          tokens.push_back(answer.sequences.at(0).tokens);
      }
      EXPECT_EQ(tokens[0], tokens[2]) << family;
      EXPECT_EQ(tokens[1], tokens[3]) << family;
    }
}

// Of `rows` tokens after 20, in fp64 on the CPU.
at::Tensor logits_of(InferenceEngine& engine, int64_t rows) {
  const at::NoGradGuard no_grad;
  const at::Tensor ids = (at::arange(20 + rows) * 7 % 61).unsqueeze(0).to(engine.device());
  nn::ContiguousKvCache cache(static_cast<size_t>(engine.spec().layers), 20 + rows);
  engine.decoder().logits(ids.narrow(1, 0, 20), &cache);
  return engine.decoder().logits(ids.narrow(1, 20, rows), &cache).to(at::kCPU, at::kDouble);
}

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

TEST(InferenceDevice, EveryFormOfWeightsGivesWhatTheCpuGives) {
  DS_NEEDS_GPU();
  const config::Json sixteen = {{"num_bits", 16}};
  struct Form {
    config::Json arguments;
    double bound;  // bf16 and fp16 of what goes from layer to layer
  };
  const auto quantized = [&](int bits, bool w8a8, const char* type) {
    config::Json quant = {{"weight", {{"num_bits", bits}, {"q_type", type}}}};
    if (!w8a8) quant["activation"] = sixteen;
    return config::Json{{"dtype", "int8"}, {"quant", quant}};
  };
  const Form forms[] = {{{{"dtype", "fp16"}}, 1e-2},
                        {{{"dtype", "bf16"}}, 6e-2},
                        {{{"dtype", "bf16"}, {"kernel_inject", true}}, 6e-2},
                        {quantized(8, true, "symmetric"), 6e-2},
                        {quantized(8, true, "asymmetric"), 6e-2},
                        {quantized(8, false, "symmetric"), 6e-2},
                        {quantized(4, false, "symmetric"), 6e-2},
                        {quantized(4, false, "asymmetric"), 6e-2},
                        {quantized(6, false, "symmetric"), 6e-2}};
  for (const char* family : {"llama", "gpt2", "gemma3", "mixtral"})
    for (const Form& form : forms) {
      InferenceEngine here = engine_on(at::kCPU, family, form.arguments),
                      there = engine_on(at::kCUDA, family, form.arguments);
      for (const int64_t rows : {1, 3, 24})  // decoding, and the products of many rows
        EXPECT_LT(relative_error(logits_of(there, rows), logits_of(here, rows)), form.bound)
            << family << " " << rows << " rows " << form.arguments.dump();
    }
}

// Logits say little here: where two sums differ by a rounding to bf16, e4m3 makes a sixteenth of it.
TEST(InferenceDevice, Fp8LayersAreTheModelsRounded) {
  DS_NEEDS_GPU();
  if (!ops::Fp8Weight::available(at::Device(at::kCUDA, 0))) GTEST_SKIP() << "this GPU does not multiply e4m3";
  const at::NoGradGuard no_grad;
  for (const char* family : {"llama", "gpt2"})
    for (const bool injected : {false, true}) {
      InferenceEngine dense = engine_on(at::kCUDA, family, {{"dtype", "bf16"}}),
                      fp8 = engine_on(at::kCUDA, family, {{"dtype", "fp8"}, {"kernel_inject", injected}});
      EXPECT_LT(fp8.parameter_bytes(), dense.parameter_bytes());
      const auto layers = nn::blocks_of(dense.module());
      size_t rounded = 0;
      for (const auto& [name, block] : nn::blocks_of(fp8.module())) {
        auto* linear = dynamic_cast<nn::Linear*>(block);
        if (linear == nullptr || linear->projection().kind() != "fp8") continue;
        ++rounded;
        const auto own = std::find_if(layers.begin(), layers.end(), [&, &wanted = name](const auto& layer) {
          return layer.first == wanted;
        });
        ASSERT_NE(own, layers.end()) << name;
        auto& exact = dynamic_cast<nn::Linear&>(*own->second);
        const int64_t in = dynamic_cast<const nn::Fp8Projection&>(linear->projection()).weight().in();
        const at::Tensor x = (at::arange(5 * in).view({5, in}) * 0.37).sin().to(at::kBFloat16).cuda();
        // Weights and x are each off by a sixteenth of their size at most.
        const at::Tensor want = exact.forward(x).to(at::kDouble);
        const at::Tensor sizes = exact.parameters(/*recurse=*/false)[0].to(at::kDouble).abs();
        const bool transposed = exact.projection().torch_class() == "Conv1D";
        const at::Tensor products = at::linear(x.to(at::kDouble).abs(), transposed ? sizes.t() : sizes);
        const at::Tensor off = (linear->forward(x).to(at::kDouble) - want).abs();
        EXPECT_TRUE((off <= products / 7 + want.abs() / 64 + 1e-3).all().item<bool>())
            << family << " " << name;
        EXPECT_GT(off.max().item<double>(), 0) << family << " " << name;
      }
      EXPECT_GE(rounded, 4u * static_cast<size_t>(fp8.spec().layers)) << family;
    }
}

TEST(InferenceDevice, RefusesWhatItLacks) {
  DS_NEEDS_GPU();
  EXPECT_THAT(
      error_of([] {
        engine_on(at::kCUDA, "llama",
                  {{"zero", {{"stage", 3}, {"offload_param", {{"device", "nvme"}, {"nvme_path", "/tmp"}}}}}});
      }),
      testing::HasSubstr("not available yet: zero.offload_param.device nvme on a GPU"));
}

TEST(InferenceFp8, NeedsAGpuThatMultipliesIt) {
  EXPECT_THAT(error_of([] {
                engine_on(at::kCPU, "llama", {{"dtype", "fp8"}});
              }),
              testing::HasSubstr("dtype fp8: cpu does not multiply e4m3"));
}

}  // namespace
}  // namespace deepspeed::inference
