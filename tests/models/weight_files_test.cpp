// Models in files of other formats than safetensors (make_weight_files.py): what is read of them is what the
// folder of tests/parity holds that they were made from.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/models/gguf_model.h"
#include "deepspeed/models/weights.h"
#include "tests/formats/gguf_images.h"

namespace deepspeed::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::HasSubstr;

const fs::path kSource = DS_SOURCE_DIR;
const fs::path kFiles = kSource / "tests/models/goldens";

fs::path gguf(const std::string& name) { return kFiles / "gguf" / (name + ".gguf"); }
fs::path folder_of(const std::string& name) {
  return kSource / "tests/parity/goldens/models" / (name + "-sharp");
}

template <class Model = Decoder>
std::shared_ptr<Model> load(const fs::path& path, const ArchSpec& spec) {
  auto model = std::make_shared<Model>(spec, std::make_shared<accel::Rng>(1));
  const auto parameters = nn::list_parameters(*model);
  const WeightSource weights(formats::ModelFiles::open(path), spec);
  weights.check(parameters);
  nn::DenseMaterializer().materialize(parameters, weights);
  model->eval();
  return model;
}

ArchSpec spec_of(const fs::path& path) {
  ArchSpec spec = arch_spec_of(path, formats::ModelFiles::open(path));
  for (double* dropout :
       {&spec.embedding_dropout, &spec.attention_dropout, &spec.residual_dropout, &spec.classifier_dropout})
    *dropout = 0;
  return spec;
}

template <class Model = Decoder>
std::shared_ptr<Model> load(const fs::path& path) {
  return load<Model>(path, spec_of(path));
}

at::Tensor ids_below(int64_t vocab, int64_t length) {
  return (at::arange(length, at::kLong) * 7 + 3).remainder(vocab).unsqueeze(0);
}

double difference(Decoder& a, Decoder& b) {
  const at::NoGradGuard no_grad;
  const at::Tensor ids = ids_below(a.spec().vocab, 24);
  return (a.logits(ids) - b.logits(ids)).abs().max().item<double>();
}

// The folder's spec as far as a GGUF file can say it: windows of Mistral, Mixtral and Qwen and Gemma's other
// scales of scores have no key.
ArchSpec sayable(const std::string& name) {
  ArchSpec spec = read_arch_spec(folder_of(name) / "config.json");
  if (name == "mistral" || name == "mixtral" || name == "qwen2") spec.windows.clear();
  if (name == "gemma2" || name == "gemma3") spec.attention_scale = 1 / std::sqrt(double(spec.head_dim));
  return spec;
}

class Gguf : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Files, Gguf,
                         testing::Values("bloom", "falcon-11b", "falcon-40b", "falcon-7b", "gemma", "gemma2",
                                         "gemma3", "gpt2", "gpt_neox", "gptj", "llama", "llama-linear",
                                         "llama-yarn", "llama3", "mistral", "mixtral", "phi-2", "phi3",
                                         "phi3-longrope", "qwen2", "qwen2_moe-every", "qwen3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Gguf, HoldsTheFoldersModel) {
  const auto theirs = load(folder_of(GetParam()), sayable(GetParam())), ours = load(gguf(GetParam()));
  const auto parameters = theirs->named_parameters();
  ASSERT_EQ(ours->named_parameters().size(), parameters.size());
  for (const auto& parameter : ours->named_parameters()) {
    at::Tensor want = parameters[parameter.key()];
    // GPT-2's stand transposed in its folder.
    if (GetParam() == "gpt2" && want.dim() == 2 && parameter.key().starts_with("layers.")) want = want.t();
    // 1 + weight is rounded in the file.
    EXPECT_LT((want - parameter.value()).abs().max().item<double>(),
              GetParam().starts_with("gemma") ? 1e-7 : 1e-30)
        << parameter.key();
  }
  EXPECT_LT(difference(*ours, *theirs), 1e-5);
}

TEST_P(Gguf, IsReadInTwoBytesAndSliceBySlice) {
  const ArchSpec spec = arch_spec_of(gguf(GetParam()), formats::ModelFiles::open(gguf(GetParam())));
  const WeightSource weights(formats::ModelFiles::open(gguf(GetParam())), spec);
  Decoder model(spec, nullptr);
  for (auto& parameter : nn::list_parameters(model)) {
    const at::Tensor whole = at::empty({parameter.numel()}),
                     half = at::empty({parameter.numel()}, at::kBFloat16);
    weights.fill(parameter, 0, whole);
    weights.fill(parameter, 0, half);
    EXPECT_TRUE(at::equal(whole.to(at::kBFloat16), half)) << parameter.name;
    const int64_t begin = parameter.numel() / 3, count = std::min<int64_t>(parameter.numel() - begin, 37);
    const at::Tensor slice = at::empty({count});
    weights.fill(parameter, begin, slice);
    EXPECT_TRUE(at::equal(slice, whole.narrow(0, begin, count))) << parameter.name;
  }
}

// An encoder without a head.
struct Bare : torch::nn::Module {
  Bare(const ArchSpec& spec, const nn::RngPtr& rng)
      : encoder(register_module("encoder", std::make_shared<Encoder>(spec, rng))) {}
  at::Tensor hidden(int64_t vocab) {
    const at::NoGradGuard no_grad;
    // None is a padding token, which RoBERTa would count no position for.
    return encoder->forward(ids_below(vocab, 14), std::optional<at::Tensor>(), std::optional<at::Tensor>());
  }
  std::shared_ptr<Encoder> encoder;
};

TEST(GgufEncoder, GivesTheFoldersHiddenStates) {
  for (const char* name : {"bert", "roberta", "xlm_roberta", "distilbert"}) {
    SCOPED_TRACE(name);
    const ArchSpec spec = spec_of(gguf(name));
    const at::Tensor ours = load<Bare>(gguf(name))->hidden(spec.vocab),
                     theirs = load<Bare>(folder_of(name))->hidden(spec.vocab);
    EXPECT_LT((ours - theirs).abs().max().item<double>(), 1e-6);
    EXPECT_GT(theirs.std().item<double>(), 0.3);
  }
}

TEST(GgufEncoder, HasTheClassifierAndItsLabels) {
  const at::NoGradGuard no_grad;
  const EncoderInput input{ids_below(67, 14), std::nullopt, std::nullopt};
  const auto ours = load<SequenceClassifier>(gguf("roberta")),
             theirs = load<SequenceClassifier>(folder_of("roberta"));
  EXPECT_LT((ours->logits(input) - theirs->logits(input)).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(ours->spec().label_names, theirs->spec().label_names);
  EXPECT_EQ(ours->spec().labels, 3);
}

TEST(GgufModel, QuantizedBlocksGiveTransformersLogits) {
  const Json want = Json::parse(base::read_text_file(kFiles / "gguf/blocks.json"));
  const auto model = load(gguf("blocks"));
  const at::NoGradGuard no_grad;
  const auto ids = want["ids"].get<std::vector<int64_t>>();
  const at::Tensor logits = model->logits(at::tensor(ids, at::kLong).unsqueeze(0))[0];
  double largest = 0;
  for (size_t t = 0; t < ids.size(); ++t)
    for (size_t i = 0; i < want["logits"][t].size(); ++i)
      largest = std::max(largest, std::abs(logits[int64_t(t)][int64_t(i)].item<double>() -
                                           want["logits"][t][i].get<double>()));
  EXPECT_LT(largest, 1e-4);
  EXPECT_GT(logits.abs().max().item<double>(), 0.5);
}

TEST(GgufModel, BlocksAreReadSliceBySlice) {
  const auto files = formats::ModelFiles::open(gguf("blocks"));
  const ArchSpec spec = gguf_arch_spec(files);
  const WeightSource weights(formats::ModelFiles::open(gguf("blocks")), spec);
  Decoder model(spec, nullptr);
  for (auto& parameter : nn::list_parameters(model)) {
    const at::Tensor whole = at::empty({parameter.numel()});
    weights.fill(parameter, 0, whole);
    for (const int64_t begin : {int64_t{5}, parameter.numel() / 2 + 11}) {
      const int64_t count = std::min<int64_t>(parameter.numel() - begin, 700);
      if (count <= 0) continue;
      const at::Tensor slice = at::empty({count});
      weights.fill(parameter, begin, slice);
      EXPECT_TRUE(at::equal(slice, whole.narrow(0, begin, count))) << parameter.name;
    }
    if (parameter.name == "layers.0.attention.query.weight") {
      EXPECT_STREQ(formats::encoding_name(weights.stored(parameter)->encoding), "Q4_0");
    }
  }
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("ds_weight_files_" + std::to_string(::getpid()));
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  }
  fs::path folder;
};

TEST_F(Files, AConfigurationBesideGgufSaysMoreThanItsMetadata) {
  fs::copy(gguf("qwen2"), folder / "model.gguf");
  fs::copy(folder_of("qwen2") / "config.json", folder / "config.json");
  const auto theirs = load(folder_of("qwen2"), read_arch_spec(folder_of("qwen2") / "config.json"));
  EXPECT_EQ(difference(*load(folder), *theirs), 0);
  EXPECT_GT(difference(*load(folder / "model.gguf"), *theirs), 1e-4);  // without windows
  // Repositories of GGUF files often have one that only names the type.
  base::write_text_file(folder / "config.json", R"({"model_type": "qwen2"})");
  EXPECT_EQ(difference(*load(folder), *load(gguf("qwen2"))), 0);
}

// RoBERTa's position table in the file begins with the first position that is used.
TEST_F(Files, AConfigurationBesideAnEncoderInGgufKeepsItsPositions) {
  fs::copy(gguf("roberta"), folder / "model.gguf");
  fs::copy(folder_of("roberta") / "config.json", folder / "config.json");
  EXPECT_TRUE(at::equal(load<Bare>(folder)->hidden(67), load<Bare>(gguf("roberta"))->hidden(67)));
}

TEST_F(Files, PyTorchsHoldTheSameModel) {
  const auto theirs = load(folder_of("llama3")), ours = load(kFiles / "torch");
  const auto parameters = theirs->named_parameters();
  for (const auto& parameter : ours->named_parameters())
    EXPECT_TRUE(at::equal(parameter.value(), parameters[parameter.key()])) << parameter.key();
  EXPECT_EQ(difference(*ours, *theirs), 0);
}

TEST_F(Files, ThatBecomeShorterAreErrors) {
  for (const fs::path& source : {gguf("llama"), gguf("blocks"), kFiles / "torch/pytorch_model.bin",
                                 folder_of("gpt2") / "model.safetensors"}) {
    const fs::path copy = folder / source.filename();
    fs::copy(source, copy);
    fs::copy_file(source.extension() == ".safetensors" ? folder_of("gpt2") / "config.json"
                                                       : kFiles / "torch/config.json",
                  folder / "config.json", fs::copy_options::overwrite_existing);
    auto files = formats::ModelFiles::open(copy);
    const ArchSpec spec = arch_spec_of(copy, files);
    const WeightSource weights(std::move(files), spec);
    Decoder model(spec, nullptr);
    const auto parameters = nn::list_parameters(model);
    fs::resize_file(copy, 4096);
    EXPECT_THAT(error_of([&] { nn::DenseMaterializer().materialize(parameters, weights); }),
                AllOf(HasSubstr(copy.string()), HasSubstr("shorter than when it was opened")));
    fs::remove(copy);
  }
}

TEST_F(Files, GgufThatIsNotUnderstoodIsRefusedByName) {
  const auto error_with = [&](std::vector<std::string> values) {
    formats::GgufImage image;
    image.values = std::move(values);
    base::write_text_file(folder / "x.gguf", image.bytes());
    return error_of([&] { gguf_arch_spec(formats::ModelFiles::open(folder / "x.gguf")); });
  };
  using formats::GgufType;
  const auto architecture = [](const char* name) {
    return formats::gguf_pair("general.architecture", GgufType::kText, formats::gguf_text(name));
  };
  EXPECT_THAT(error_with({architecture("mamba")}),
              AllOf(HasSubstr("x.gguf"), HasSubstr("\"mamba\" are not available yet (known: bert, bloom, ")));
  EXPECT_THAT(error_with({}), HasSubstr("general.architecture"));
  const auto sized = [&](uint32_t blocks, uint32_t heads) {
    formats::GgufImage image;
    image.values = {architecture("llama"), formats::gguf_pair_of("llama.block_count", GgufType::kU32, blocks),
                    formats::gguf_pair_of<uint32_t>("llama.embedding_length", GgufType::kU32, 8),
                    formats::gguf_pair_of("llama.attention.head_count", GgufType::kU32, heads)};
    image.tensors = {formats::gguf_tensor("token_embd.weight", {8, 2})};
    image.data = std::string(64, '\0');
    base::write_text_file(folder / "x.gguf", image.bytes());
    return error_of([&] { gguf_arch_spec(formats::ModelFiles::open(folder / "x.gguf")); });
  };
  EXPECT_THAT(sized(1, 0), HasSubstr("'llama.attention.head_count' is 0; it must be positive"));
  EXPECT_THAT(sized(1000000000, 2),
              HasSubstr("'llama.block_count' is 1000000000, more than the file's 1 tensors"));
  EXPECT_THAT(error_with({architecture("llama")}), HasSubstr("token_embd.weight"));
}

TEST_F(Files, GgufThatLacksATensorIsRefused) {
  const ArchSpec llama = arch_spec_of(gguf("llama"), formats::ModelFiles::open(gguf("llama")));
  ArchSpec more = llama;
  more.layers = 3;
  EXPECT_THAT(error_of([&] { load(gguf("llama"), more); }),
              AllOf(HasSubstr("llama.gguf does not hold a llama as its metadata describes it"),
                    HasSubstr("missing blk.2.attn_norm.weight")));
  more = llama;
  more.intermediate = 100;
  EXPECT_THAT(error_of([&] { load(gguf("llama"), more); }),
              HasSubstr("the model's metadata asks for [100, 64]"));
}

}  // namespace
}  // namespace deepspeed::models
