#include "deepspeed/inference/quantize_model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <random>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/inference/gguf_folder.h"
#include "deepspeed/inference/input_moments.h"
#include "tests/support/error_of.h"
#include "tiny_models.h"

namespace deepspeed::inference {
namespace {

using testing_support::error_of;
namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kGguf = fs::path(DS_SOURCE_DIR) / "tests/models/goldens/gguf";

class QuantizeModel : public testing::Test {
 protected:
  void SetUp() override {
    work = fs::temp_directory_path() / ("ds_quantize_model_" + std::to_string(::getpid()));
    fs::remove_all(work);
    fs::create_directories(work);
  }
  void TearDown() override { fs::remove_all(work); }

  // Few words in any order: inputs that go together.
  static std::vector<int32_t> text(size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<int32_t> ids(count);
    for (int32_t& id : ids) id = static_cast<int32_t>(3 + random() % 24);
    return ids;
  }
  fs::path write(const std::vector<int32_t>& ids) const {
    base::write_text_file(work / "text.bin",
                          {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)});
    return work / "text.bin";
  }
  static at::Tensor logits(const fs::path& model, const std::vector<int32_t>& ids) {
    const at::NoGradGuard no_grad;
    const auto engine = init_inference(model.string(), "", {{"dtype", "fp32"}});
    const at::Tensor all = at::tensor(at::ArrayRef(ids.data(), ids.size()), at::kLong);
    return engine->decoder().logits(all.unsqueeze(0));
  }

  fs::path work;
};

TEST_F(QuantizeModel, CalibrationKeepsWhatTheModelSays) {
  const fs::path calibration = write(text(6000, 1));
  const auto other = text(60, 2);
  for (const char* family : {"llama", "gpt2", "mixtral"}) {
    const at::Tensor wanted = logits(tiny_folder(family), other);
    const auto error = [&](const fs::path& text_file) {
      const fs::path out = work / "out";
      fs::remove_all(out);
      QuantizeModelOptions options{.calibration = text_file};
      options.files.weights = {.scheme = ops::PackedScheme::kInt4, .asymmetric = true};
      EXPECT_GT(quantize_model(tiny_folder(family).string(), out, options).tensors, 7);
      return (logits(out, other) - wanted).square().mean().item<double>();
    };
    const double plain = error({}), calibrated = error(calibration);
    std::printf("[  FIGURE  ] %s: %.3f of plain rounding's squared error\n", family, calibrated / plain);
    // Random models make chaos of small errors; LLaMA's is the mildest.
    EXPECT_LT(calibrated, (family == std::string("llama") ? 0.6 : 0.95) * plain) << family;
  }
}

TEST_F(QuantizeModel, AGgufFileBecomesAFolder) {
  const std::string file = (kGguf / "llama.gguf").string();
  QuantizeModelOptions options;
  options.files.weights = {.scheme = ops::PackedScheme::kInt8, .group = 32};
  quantize_model(file, work / "out", options);
  EXPECT_FALSE(fs::exists(work / "out.dense"));
  const auto whole = init_inference(file, R"({"dtype": "fp32"})"),
             ours = init_inference((work / "out").string(), R"({"dtype": "fp32"})");
  EXPECT_LT(ours->parameter_bytes(), whole->parameter_bytes() * 6 / 10) << "the embedding stays";
  for (const char* prompt : {"Once upon", "x = 3;\n", "Größe"})
    EXPECT_EQ(ours->tokenizer().encode(prompt).ids, whole->tokenizer().encode(prompt).ids) << prompt;
  const config::Json messages = {{{"role", "user"}, {"content", "hello"}}};
  EXPECT_EQ(ours->chat_prompt(messages), whole->chat_prompt(messages));
  EXPECT_EQ(ours->source().generation, whole->source().generation);
  const auto ids = text(50, 3);
  const at::Tensor wanted = logits(file, ids), got = logits(work / "out", ids);
  EXPECT_LT(((got - wanted).norm() / wanted.norm()).item<double>(), 0.1);
}

TEST_F(QuantizeModel, RefusesWhatItCannotDo) {
  const auto refused = [&](const fs::path& model, const fs::path& calibration = {}) {
    return error_of([&] {
      QuantizeModelOptions options{.calibration = calibration};
      options.files.weights = {.scheme = ops::PackedScheme::kInt4};
      quantize_model(model.string(), work / "out", options);
    });
  };
  EXPECT_THAT(refused(kGguf / "bert.gguf"), HasSubstr("only decoders are taken from GGUF"));
  EXPECT_THAT(refused(kGguf.parent_path() / "tokenizer.json"), HasSubstr("want a folder or a GGUF file"));
  EXPECT_THAT(refused(tiny_folder("llama"), write(text(50, 1))), HasSubstr("50 tokens to calibrate with"));
  EXPECT_THAT(refused(tiny_folder("llama"), write(std::vector<int32_t>(600, 1 << 20))),
              HasSubstr("is not one of the model's"));
  fs::create_directories(work / "out.dense");
  EXPECT_THAT(refused(kGguf / "llama.gguf"), HasSubstr("is in the way"));
}

TEST_F(QuantizeModel, EveryQuantizedTensorHasMoments) {
  for (const char* family :
       {"llama", "gpt2", "gpt_neox", "phi3", "falcon-7b", "bloom", "opt", "qwen2_moe", "gemma3"}) {
    models::QuantizeOptions files{.weights = {.scheme = ops::PackedScheme::kInt8}};
    std::vector<std::string> quantized;
    files.moments = [&](const std::string& name) { return quantized.push_back(name), at::Tensor(); };
    EXPECT_EQ(models::quantize_files(tiny_folder(family), work / family, files).tensors,
              static_cast<int64_t>(quantized.size()));
    const auto engine = init_inference(tiny_folder(family).string(), "", {{"dtype", "fp32"}});
    InputMoments moments(*engine, text(600, 5), formats::ModelFiles::open(tiny_folder(family)).names(),
                         {.window = 60});
    for (const std::string& name : quantized)
      EXPECT_TRUE(moments.of(name).defined()) << family << " " << name;
  }
}

TEST_F(QuantizeModel, MomentsAreThoseOfTheInputs) {
  const auto ids = text(300, 4);
  const std::vector<std::string> names = {"model.layers.0.self_attn.q_proj.weight", "model.norm.weight",
                                          "model.layers.1.mlp.down_proj.weight",
                                          "model.layers.0.self_attn.v_proj.weight"};
  const auto open = [] { return init_inference(tiny_folder("llama").string(), "", {{"dtype", "fp32"}}); };
  const auto at_once = open(), one_by_one = open();
  InputMoments all(*at_once, ids, names, {.window = 100});
  InputMoments few(*one_by_one, ids, names, {.window = 100, .bytes = 1});
  for (const std::string& name : names) {
    const at::Tensor found = all.of(name);
    EXPECT_EQ(found.defined(), name != "model.norm.weight");
    if (found.defined()) {
      EXPECT_TRUE(at::equal(found, few.of(name))) << name;
    }
  }
  EXPECT_TRUE(at::equal(all.of(names[0]), all.of(names[3]))) << "they read the same";
  // What the first norm makes of the embeddings, computed here.
  const at::NoGradGuard no_grad;
  const auto model = tiny_model("llama");
  const auto parameters = model->named_parameters();
  const at::Tensor table = parameters["embedding.weight"], weight = parameters["layers.0.norm1.weight"];
  const at::Tensor x = table.index_select(0, at::tensor(at::ArrayRef(ids.data(), ids.size()), at::kLong));
  const at::Tensor normed = x * at::rsqrt(x.square().mean(-1, true) + model->spec().norm_eps) * weight;
  EXPECT_TRUE(at::allclose(all.of(names[0]), at::mm(normed.t(), normed), 1e-3, 1e-3));
}

// Every golden file of a decoder, as a folder and as it is.
TEST_F(QuantizeModel, FoldersOfGgufFilesAreTheSameModels) {
  int same = 0, refused = 0;
  for (const auto& entry : fs::directory_iterator(kGguf)) {
    const fs::path file = entry.path();
    if (file.extension() != ".gguf") continue;
    const fs::path folder = work / file.stem();
    const std::string error = error_of([&] { export_gguf(file, folder, at::kFloat); });
    if (error != "no error") {
      EXPECT_THAT(error, testing::AnyOf(HasSubstr("only decoders"), HasSubstr("rotary angles are scaled"),
                                        HasSubstr("lie otherwise")))
          << file;
      ++refused;
      continue;
    }
    const auto ids = text(30, 3);
    const at::Tensor wanted = logits(file, ids), got = logits(folder, ids);
    EXPECT_TRUE(at::allclose(got, wanted, 1e-5, 1e-5)) << file;
    ++same;
  }
  std::printf("[  FIGURE  ] %d the same, %d refused\n", same, refused);
  EXPECT_GT(same, 15);
}

}  // namespace
}  // namespace deepspeed::inference
