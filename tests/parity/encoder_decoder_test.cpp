// Models with an encoder and a decoder against transformers (README.md beside this file): logits, loss and
// gradients with padding and labels that do not count, greedy answers, that each option shows in them,
// caches, and that an export is what was read.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/models/encoder_decoder.h"
#include "deepspeed/models/weights.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using models::ArchSpec;

const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";

fs::path folder_of(const std::string& family) { return kGoldens / "models" / (family + "-sharp"); }
ArchSpec spec_of(const std::string& family) {
  return models::read_arch_spec(folder_of(family) / "config.json");
}

// Unchecked, a model may leave tensors of the folder aside.
std::shared_ptr<models::EncoderDecoder> load(const std::string& family, const ArchSpec& spec,
                                             bool checked = true) {
  auto model = std::make_shared<models::EncoderDecoder>(spec, std::make_shared<accel::Rng>(1));
  const auto parameters = nn::list_parameters(*model);
  const models::WeightSource weights(formats::ModelFiles::open(folder_of(family)), spec);
  if (checked) weights.check(parameters);
  nn::DenseMaterializer().materialize(parameters, weights);
  model->eval();
  return model;
}

struct Golden {
  explicit Golden(const std::string& family) : file(kGoldens / "logits" / (family + ".safetensors")) {}
  at::Tensor operator[](const std::string& name) const {
    const auto* info = file.find(name);
    EXPECT_NE(info, nullptr) << name;
    at::Tensor t = at::empty(info->shape, info->dtype == formats::Dtype::kI64 ? at::kLong : at::kFloat);
    const auto bytes = file.data(*info);
    std::memcpy(t.data_ptr(), bytes.data(), bytes.size());
    return t;
  }
  std::optional<at::Tensor> ends() const { return (*this)["ends"].to(at::kInt); }

  formats::SafetensorsFile file;
};

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

at::Tensor logits_of(models::EncoderDecoder& model, const Golden& golden) {
  return model.logits(golden["ids"], model.shifted(golden["labels"]), golden.ends());
}

class EncoderDecoders : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Transformers, EncoderDecoders, testing::Values("t5", "t5_gated"),
                         [](const auto& info) { return info.param; });

TEST_P(EncoderDecoders, AgreeOnLogitsLossAndEveryParametersGradient) {
  const Golden golden(GetParam());
  const auto model = load(GetParam(), spec_of(GetParam()));
  EXPECT_LT(largest_difference(logits_of(*model, golden), golden["logits"]), 1e-4);
  const at::Tensor loss = model->forward(golden["ids"], golden["labels"], golden.ends());
  EXPECT_NEAR(loss.item<double>(), golden["loss"].item<double>(), 1e-4);
  loss.backward();
  size_t norms = 0;
  for (const auto& info : golden.file.tensors()) norms += info.name.starts_with("grad_norm.");
  const auto parameters = nn::list_parameters(*model);
  EXPECT_EQ(parameters.size(), norms);
  for (const auto& p : parameters) {
    const double want = golden["grad_norm." + model->spec().hugging_face_name(p.name)].item<double>();
    EXPECT_NEAR(p.tensor.grad().to(at::kDouble).norm().item<double>(), want, 1e-4 * want + 1e-7) << p.name;
  }
}

// One token at a time with caches, up to the first step at which the two best logits of transformers are
// nearly tied.
TEST_P(EncoderDecoders, AnswerPromptsAsTransformersDoes) {
  const at::NoGradGuard no_grad;
  const Golden golden(GetParam());
  const auto model = load(GetParam(), spec_of(GetParam()));
  const at::Tensor prompts = golden["prompts"], made = golden["continuations"], ends = golden["prompt_ends"];
  ASSERT_EQ(made.size(1), 64);
  models::Memory memory = model->encode(prompts, ends.to(at::kInt), /*keeps_keys=*/true);
  nn::ContiguousKvCache cache(static_cast<size_t>(model->spec().decoder_layers), 64);
  at::Tensor next = at::full({prompts.size(0), 1}, model->spec().decoder_start, at::kLong);
  std::vector<at::Tensor> ours;
  for (int64_t step = 0; step < made.size(1); ++step) {
    const at::Tensor hidden = model->decoder().hidden_states(next, &cache, std::nullopt, &memory);
    next = model->decoder().logits_of(hidden).argmax(-1);
    ours.push_back(next);
    next = made.select(1, step).unsqueeze(1);  // a near tie does not lead astray
  }
  const at::Tensor same = at::cat(ours, 1).eq(made);
  int64_t whole = 0;
  for (int64_t i = 0; i < prompts.size(0); ++i) {
    const auto sure = golden["first_near_tie"][i].item<int64_t>();
    EXPECT_TRUE(same[i].narrow(0, 0, sure).all().item<bool>()) << "prompt " << i;
    whole += sure == made.size(1);
  }
  EXPECT_GE(whole, 9);
}

TEST_P(EncoderDecoders, PaddingOfTheInputChangesNothing) {
  const at::NoGradGuard no_grad;
  const Golden golden(GetParam());
  const auto model = load(GetParam(), spec_of(GetParam()));
  const at::Tensor answer = model->shifted(golden["labels"]), ids = golden["ids"],
                   whole = logits_of(*model, golden);
  for (int64_t row = 0; row < ids.size(0); ++row) {
    const auto end = golden["ends"][row].item<int64_t>();
    const at::Tensor alone = model->logits(ids.narrow(0, row, 1).narrow(1, 0, end), answer.narrow(0, row, 1));
    EXPECT_LT(largest_difference(alone[0], whole[row]), 1e-4) << row;
  }
}

TEST_P(EncoderDecoders, RowsOfAMemoryFollowTheBatch) {
  const at::NoGradGuard no_grad;
  const Golden golden(GetParam());
  const auto model = load(GetParam(), spec_of(GetParam()));
  const at::Tensor answer = model->shifted(golden["labels"]), whole = logits_of(*model, golden);
  models::Memory memory = model->encode(golden["ids"], golden.ends(), /*keeps_keys=*/true);
  const auto logits = [&](const std::vector<int64_t>& rows) {
    const at::Tensor ids = answer.index_select(0, at::tensor(rows));
    return model->decoder().logits_of(model->decoder().hidden_states(ids, nullptr, std::nullopt, &memory));
  };
  EXPECT_LT(largest_difference(logits({0, 1, 2}), whole), 1e-4);
  memory.select_rows({2, 2, 0});
  EXPECT_LT(largest_difference(logits({2, 2, 0}), whole.index_select(0, at::tensor({2, 2, 0}))), 1e-4);
  memory.select_rows({1, 0, 2});  // copies of the same row that change places
  memory.select_rows({2, 1});
  EXPECT_LT(largest_difference(logits({0, 2}), whole.index_select(0, at::tensor({0, 2}))), 1e-4);
  EXPECT_THROW(memory.select_rows({2}), base::Error);
}

TEST_P(EncoderDecoders, ExportTheFolderTheyWereReadFrom) {
  const fs::path source = folder_of(GetParam()),
                 target = fs::temp_directory_path() / fmt::format("ds_export_{}_{}", GetParam(), ::getpid());
  const ArchSpec spec = spec_of(GetParam());
  models::export_hugging_face(target, spec, *load(GetParam(), spec),
                              {.source = source, .dtype = at::kBFloat16});
  const auto theirs = formats::SafetensorsModel::open(source), ours = formats::SafetensorsModel::open(target);
  EXPECT_EQ(ours.names(), theirs.names());
  for (const std::string& name : theirs.names()) {
    EXPECT_EQ(ours.info(name).shape, theirs.info(name).shape) << name;
    const auto a = ours.data(name), b = theirs.data(name);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << name;
  }
  EXPECT_EQ(Json::parse(base::read_text_file(target / "config.json")),
            Json::parse(base::read_text_file(source / "config.json")));
  fs::remove_all(target);
}

TEST(EncoderDecoder, LogitsShowEveryOption) {
  const at::NoGradGuard no_grad;
  struct Change {
    const char* family;
    const char* what;
    void (*apply)(ArchSpec&);
  };
  const Change changes[] = {
      {"t5", "scale of what the head reads", [](ArchSpec& s) { s.head_scale = 1; }},
      {"t5", "plain scores", [](ArchSpec& s) { s.attention_scale.reset(); }},
      {"t5", "farthest distance", [](ArchSpec& s) { s.buckets.max_distance = 17; }},
      {"t5", "ReLU", [](ArchSpec& s) { s.activation = nn::Activation::kGeluErf; }},
      {"t5", "the token an answer starts after", [](ArchSpec& s) { s.decoder_start = 0; }},
      {"t5", "what is read for labels that do not count", [](ArchSpec& s) { s.label_padding = 5; }},
      {"t5_gated", "gated GELU", [](ArchSpec& s) { s.activation = nn::Activation::kSwiGlu; }},
      {"t5_gated", "unscaled states", [](ArchSpec& s) { s.head_scale = 0.5; }}};
  for (const Change& change : changes) {
    ArchSpec spec = spec_of(change.family);
    change.apply(spec);
    const Golden golden(change.family);
    const at::Tensor logits = logits_of(*load(change.family, spec, /*checked=*/false), golden);
    EXPECT_GT(largest_difference(logits, golden["logits"]), 1e-3) << change.family << ": " << change.what;
  }
}

TEST(EncoderDecoder, AHeadThatFilesLackIsTheTableOfTokens) {
  Json config = Json::parse(base::read_text_file(folder_of("t5") / "config.json"));
  config["scale_decoder_outputs"] = false;  // as transformers 5 writes version 1.1
  const ArchSpec spec = models::parse_arch_spec(config, "c");
  EXPECT_FALSE(spec.tied_embeddings);
  const auto model = load("t5", spec);
  const auto p = model->named_parameters();
  EXPECT_TRUE(at::equal(p["decoder.head.weight"], p["embedding.weight"]));
}

TEST(EncoderDecoder, EveryDropoutActsInTrainingOnly) {
  const Golden golden("t5");
  for (const auto member :
       {&ArchSpec::embedding_dropout, &ArchSpec::attention_dropout, &ArchSpec::residual_dropout,
        &ArchSpec::inner_dropout, &ArchSpec::output_dropout}) {
    ArchSpec spec = spec_of("t5");
    spec.*member = 0.3;
    const auto model = load("t5", spec);
    EXPECT_LT(largest_difference(logits_of(*model, golden), golden["logits"]), 1e-4);
    model->train();
    const at::Tensor first = logits_of(*model, golden);
    EXPECT_GT(largest_difference(first, golden["logits"]), 1e-2);
    EXPECT_TRUE(at::equal(first, logits_of(*model, golden))) << "the same step";
  }
}

TEST(EncoderDecoder, ConfigurationsThatNeedMoreAreRefused) {
  for (const auto& config : std::vector<Json>{{{"model_type", "t5"}, {"feed_forward_proj", "gated-tanh"}},
                                              {{"model_type", "t5"}, {"feed_forward_proj", "selu"}},
                                              {{"model_type", "t5"}, {"is_encoder_decoder", false}}})
    EXPECT_THROW(models::parse_arch_spec(config, "c"), base::Error) << config;
  EXPECT_THROW(models::EncoderDecoder(models::read_arch_spec(folder_of("llama") / "config.json"), nullptr),
               base::Error);
}

}  // namespace
}  // namespace deepspeed
