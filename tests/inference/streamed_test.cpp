// ZeRO-Inference: models whose weights stay on a disk answer as those in memory do.
#include <ATen/ATen.h>
#include <sys/resource.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/engine.h"
#include "deepspeed/inference/results.h"
#include "deepspeed/models/quantized_files.h"
#include "task_case.h"
#include "tests/support/combinations.h"
#include "tests/support/error_of.h"
#include "tiny_models.h"

namespace deepspeed::inference {
namespace {

using testing_support::error_of;
namespace fs = std::filesystem;
using config::Json;
using ::testing::HasSubstr;

class Streamed : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(disk); }
  void TearDown() override { fs::remove_all(work); }
  fs::path work = fs::temp_directory_path() / ("ds_streamed_" + std::to_string(::getpid())),
           disk = work / "nvme";

  // Nothing stays in memory that need not.
  Json on_disk(Json config, const Json& more = Json::object()) const {
    config["zero"] = {
        {"stage", 3},
        {"stage3_param_persistence_threshold", 0},
        {"offload_param",
         {{"device", "nvme"}, {"nvme_path", disk.string()}, {"max_in_cpu", 0}, {"buffer_count", 2}}}};
    config["zero"]["offload_param"].update(more);
    return config;
  }
  // A copy of a tiny model whose weights are bf16 in its file.
  fs::path in_bf16(const std::string& family) const {
    const fs::path folder = work / (family + "-bf16");
    if (fs::exists(folder)) return folder;
    const auto model = tiny_model(family);
    models::export_hugging_face(folder, model->spec(), *model,
                                {.source = tiny_folder(family), .dtype = at::kBFloat16});
    return folder;
  }
};

std::unique_ptr<InferenceEngine> open(const fs::path& folder, const Json& config) {
  return init_inference(folder.string(), config.dump());
}

// Of two prompts, the shorter one padded.
std::vector<std::vector<int32_t>> tokens_of(InferenceEngine& engine) {
  std::vector<std::vector<int32_t>> out;
  const Json options = {{"max_new_tokens", 6}, {"ignore_eos", true}};
  for (const Answer& answer : engine.generate_tokens({{5, 9, 3, 17, 21, 8, 2, 30, 11}, {7, 4}}, options))
    out.push_back(answer.sequences.at(0).tokens);
  return out;
}
at::Tensor logits_of(InferenceEngine& engine) {
  const at::NoGradGuard no_grad;
  return engine.decoder().logits((at::arange(24) * 7 % 40).view({2, 12}));
}

void expect_same(InferenceEngine& streamed, InferenceEngine& resident, const std::string& where) {
  ASSERT_NE(streamed.streamed(), nullptr);
  ASSERT_EQ(resident.streamed(), nullptr);
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE(at::equal(logits_of(streamed), logits_of(resident))) << where << ", forward " << i;
  const int64_t surprises = streamed.streamed()->stream().surprises();
  EXPECT_EQ(tokens_of(streamed), tokens_of(resident)) << where;
  EXPECT_EQ(streamed.streamed()->stream().surprises(), surprises) << where << ": the order is known by now";
}

const std::vector<Json>& forms() {
  static const std::vector<Json> all = [] {
    std::vector<Json> out;
    for (const char* text :
         {R"({"dtype": "fp32"})", R"({"dtype": "bf16"})", R"({"dtype": "fp16"})",
          R"({"dtype": "fp32", "kernel_inject": true})", R"({"dtype": "bf16", "kernel_inject": true})",
          R"({"dtype": "int8"})",
          R"({"dtype": "int8", "quant": {"activation": {"enabled": false}, "qkv": {"enabled": false}}})",
          R"({"dtype": "int8", "quant": {"weight": {"num_bits": 6}}})",
          R"({"dtype": "int8", "quant": {"weight": {"num_bits": 4}}})",
          R"({"dtype": "int8", "quant": {"weight": {"num_bits": 4, "q_type": "asymmetric"}}})"})
      out.push_back(Json::parse(text));
    return out;
  }();
  return all;
}
const Json kFp32 = Json::parse(R"({"dtype": "fp32"})"), kBf16 = Json::parse(R"({"dtype": "bf16"})"),
           kInt8 = Json::parse(R"({"dtype": "int8"})");

// Rows in the file's order and in others, fused and halved matrices, Conv1D, tied heads, experts, norms that
// the file holds without their 1.
TEST_F(Streamed, EveryFamilyInEveryFormAnswersAsInMemory) {
  std::vector<std::pair<std::string, Json>> cases;
  for (const char* family : {"llama", "gpt2", "mixtral", "falcon-40b", "phi3", "gemma3", "bloom", "opt",
                             "gptj", "qwen2_moe", "gpt_neox"})
    for (const Json& form : forms()) cases.emplace_back(family, form);
  for (const auto& [family, form] : testing_support::some_of(cases, 4)) {
    const fs::path folder = tiny_folder(family);
    const auto resident = open(folder, form), streamed = open(folder, on_disk(form));
    expect_same(*streamed, *resident, family + " " + form.dump());
    EXPECT_EQ(streamed->parameters(), resident->parameters());
  }
}

TEST_F(Streamed, WhatAFileHoldsAsItIsMultipliedIsNotWrittenAgain) {
  for (const char* family : {"llama", "gpt2"}) {
    const fs::path folder = in_bf16(family);
    const auto resident = open(folder, kBf16), streamed = open(folder, on_disk(kBf16));
    expect_same(*streamed, *resident, family);
    EXPECT_EQ(streamed->streamed()->stream().surprises(), 0)
        << family << ": units are in the order of their use";
    EXPECT_EQ(streamed->streamed()->bytes_written(), 0) << family;
    EXPECT_GT(open(folder, on_disk(kFp32))->streamed()->bytes_written(), 0) << family;
  }
}

TEST_F(Streamed, AForwardReadsEveryMatrixOnceAndMemoryHoldsTheRest) {
  const fs::path folder = in_bf16("llama");
  const auto engine = open(folder, on_disk(kBf16));
  const auto& stream = engine->streamed()->stream();
  int64_t matrices = 0, vectors = 0;
  for (const auto& parameter : nn::list_parameters(engine->module())) {
    const bool looked_up = parameter.name == "embedding.weight";
    if (!looked_up) (parameter.shape.size() == 2 ? matrices : vectors) += 2 * parameter.numel();
  }
  EXPECT_EQ(engine->streamed()->bytes_in_memory(), vectors + static_cast<int64_t>(stream.memory()));
  EXPECT_GE(stream.round_bytes(), matrices);
  EXPECT_LE(stream.round_bytes(), matrices + 2 * 4096 * static_cast<int64_t>(stream.units()));
  for (int64_t forward = 1; forward <= 3; ++forward) {
    logits_of(*engine);
    EXPECT_EQ(stream.bytes_used(), forward * stream.round_bytes());
  }
}

TEST_F(Streamed, WhatIsSmallOrComesFirstStays) {
  const fs::path folder = in_bf16("llama");
  const auto units = [&](const Json& config) { return open(folder, config)->streamed()->stream().units(); };
  Json config = on_disk(kBf16);
  const size_t all = units(config);
  EXPECT_EQ(all, 2u * 7 + 1);
  config["zero"]["stage3_param_persistence_threshold"] = 64 * 64;  // keys and values have half of it
  EXPECT_EQ(units(config), all - 4);
  config["zero"]["stage3_model_persistence_threshold"] = 64 * 32;  // one of them
  EXPECT_EQ(units(config), all - 1);
  // The table of tokens, the first queries and keys.
  const auto rows = open(folder, kBf16)->spec().vocab;
  EXPECT_EQ(units(on_disk(kBf16, {{"max_in_cpu", 64 * rows + 64 * 64 + 64 * 32}})), all - 2);
  const auto everything = open(folder, on_disk(kBf16, {{"max_in_cpu", 1'000'000'000}})),
             resident = open(folder, kBf16);
  EXPECT_EQ(everything->streamed()->stream().units(), 0u);
  expect_same(*everything, *resident, "all in memory");
}

TEST_F(Streamed, AHeadInTilesGivesTheLogitsOfTheWhole) {
  for (const Json& form : forms())
    for (const char* family : {"llama", "gemma3"}) {
      const fs::path folder = tiny_folder(family);
      const auto whole = open(folder, on_disk(form)),
                 tiled = open(folder, on_disk(form, {{"buffer_size", 1}}));
      const size_t tiles = static_cast<size_t>(whole->spec().vocab + 31) / 32;
      EXPECT_EQ(tiled->streamed()->stream().units(), whole->streamed()->stream().units() + tiles - 1);
      // libtorch sums a row in an order that depends on how many rows there are.
      const at::Tensor a = logits_of(*tiled).to(at::kFloat), b = logits_of(*whole).to(at::kFloat);
      EXPECT_LT((a - b).abs().max().item<double>(),
                (form["dtype"] == "fp32" ? 1e-6 : 1e-2) * b.abs().max().item<double>())
          << family << " " << form.dump();
      if (form["dtype"] == "int8") {
        EXPECT_TRUE(at::equal(a, b)) << family << " " << form.dump();
      }
    }
}

TEST_F(Streamed, QuantizedFoldersAreStreamed) {
  const fs::path folder = work / "int4";
  for (const models::QuantizeOptions& options : std::vector<models::QuantizeOptions>{
           {.weights = {.scheme = ops::PackedScheme::kInt4}},
           {.weights = {.scheme = ops::PackedScheme::kInt4, .asymmetric = true},
           .eight_bits = {"value", "down"}}}) {
    fs::remove_all(folder);
    models::quantize_files(tiny_folder("llama"), folder, options);
    const auto resident = open(folder, kFp32), streamed = open(folder, on_disk(kFp32));
    expect_same(*streamed, *resident, "int4 folder");
    EXPECT_GT(streamed->streamed()->bytes_written(), 0);
  }
}

// Labels and scores. Where their factors lie in memory decides how MKL adds up some small products.
void expect_alike(const Json& got, const Json& wanted, const std::string& where) {
  ASSERT_EQ(got.size(), wanted.size()) << where;
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(got[i]["label"], wanted[i]["label"]) << where;
    EXPECT_NEAR(got[i]["score"].get<double>(), wanted[i]["score"].get<double>(), 1e-6) << where;
  }
}

TEST_F(Streamed, EncodersDo) {
  const fs::path models = inference_goldens() / "models";
  for (const Json& form : {kFp32, kInt8}) {
    const auto masks = [&](const Json& config) {
      return to_json(open(models / "bert-masks", config)->fill_mask()("God said, let there be [MASK].", {}));
    };
    EXPECT_EQ(masks(on_disk(form)), masks(form)) << form.dump();
    const auto classes = [&](const Json& config) {
      return to_json(open(models / "roberta-classes", config)
                         ->text_classification()({{"And God said"}}, {.top_k = 3})[0]);
    };
    expect_alike(classes(on_disk(form)), classes(form), form.dump());
    const auto vectors = [&](const Json& config) {
      return open(models / "bert-vectors", config)->feature_extraction().tokens("the light");
    };
    EXPECT_TRUE(at::equal(vectors(on_disk(form)), vectors(form))) << form.dump();
  }
  // One layer that runs several times: the order of reading is never what was expected, the answer is.
  const auto features = [&](const Json& config) {
    const auto engine =
        init_inference(tiny_folder("albert").string(), config.dump(), Json::object(), Task::kFillMask);
    const at::NoGradGuard no_grad;
    return dynamic_cast<models::MaskedLanguageModel&>(engine->module())
        .logits({.ids = at::arange(10).view({1, 10})});
  };
  EXPECT_TRUE(at::equal(features(on_disk(kFp32)), features(kFp32)));
}

TEST_F(Streamed, NoFileIsLeftOrSeen) {
  const auto count = [&] { return std::distance(fs::directory_iterator(disk), fs::directory_iterator()); };
  auto engine = open(tiny_folder("llama"), on_disk(kInt8));
  EXPECT_EQ(count(), 0);
  int heard = 0;
  engine->generate_tokens({{1, 2, 3}}, {{"max_new_tokens", 50}, {"ignore_eos", true}},
                          [&](const Progress&) { return ++heard < 3; });
  engine.reset();  // while what comes next is being read
  EXPECT_EQ(count(), 0);
}

TEST_F(Streamed, MistakesAreOneLine) {
  const fs::path llama = tiny_folder("llama");
  Json config = on_disk(kBf16);
  config["zero"]["offload_param"].erase("nvme_path");
  EXPECT_THAT(error_of([&] { open(llama, config); }), HasSubstr("needs \"nvme_path\": a folder on the disk"));
  config = on_disk(kBf16, {{"nvme_path", (llama / "config.json" / "sub").string()}});
  EXPECT_THAT(error_of([&] { open(llama, config); }), HasSubstr("cannot make the folder"));
  config = on_disk(kBf16);
  config["zero"]["stage"] = 2;
  EXPECT_EQ(open(llama, config)->streamed(), nullptr);
  EXPECT_THAT(parse_inference_config(config.dump()).warnings,
              testing::Contains(HasSubstr("no effect below stage 3")));
  config["zero"] = {{"stage", 3}, {"offload_param", {{"device", "cpu"}}}};
  EXPECT_EQ(open(llama, config)->streamed(), nullptr) << "host memory is a CPU's only memory";
}

TEST_F(Streamed, AFileThatChangesOrEndsEarlyIsAnError) {
  const fs::path folder = in_bf16("llama"), file = folder / "model.safetensors";
  const auto changed = open(folder, on_disk(kBf16));
  logits_of(*changed);
  fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(1));
  EXPECT_THAT(error_of([&] { logits_of(*changed); }),
              HasSubstr("was changed while a model was being read from it"));
  const auto shorter = open(folder, on_disk(kBf16));
  logits_of(*shorter);
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_THAT(error_of([&] {
                for (int i = 0; i < 2; ++i) logits_of(*shorter);
              }),
              HasSubstr(file.string()));
}

// What a full disk does, without one.
TEST_F(Streamed, ADiskThatTakesNoMoreIsAnError) {
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{64 << 10, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = error_of([&] { open(tiny_folder("llama"), on_disk(kBf16)); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  ::signal(SIGXFSZ, before);
  EXPECT_THAT(error, testing::AllOf(HasSubstr(disk.string()), HasSubstr("File too large")));
}

}  // namespace
}  // namespace deepspeed::inference
