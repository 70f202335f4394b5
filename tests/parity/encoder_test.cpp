// BERT against transformers and DeepSpeed (README.md beside this file): logits, loss and gradients of both
// heads, with padding and token types; export; and the 50-step runs of encoders.json.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/comm/ranks.h"
#include "deepspeed/engine/objective.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/models/weights.h"
#include "tests/parity/curve.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using models::ArchSpec;
using models::EncoderInput;
using models::MaskedLanguageModel;
using models::SequenceClassifier;
using parity::Row;

const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";
const fs::path kSharp = kGoldens / "models/bert-sharp";

void load_weights(torch::nn::Module& model, const ArchSpec& spec, const fs::path& folder) {
  const auto parameters = nn::list_parameters(model);
  const models::WeightSource weights(formats::ModelFiles::open(folder), spec);
  weights.check(parameters);
  nn::DenseMaterializer().materialize(parameters, weights);
}

template <class Model>
std::shared_ptr<Model> load(const ArchSpec& spec = models::read_arch_spec(kSharp / "config.json")) {
  auto model = std::make_shared<Model>(spec, std::make_shared<accel::Rng>(1));
  load_weights(*model, spec, kSharp);
  model->eval();
  return model;
}

struct Golden {
  explicit Golden(const std::string& name) : file(kGoldens / "logits" / (name + ".safetensors")) {}
  at::Tensor operator[](const std::string& name) const {
    const auto* info = file.find(name);
    EXPECT_NE(info, nullptr) << name;
    at::Tensor t = at::empty(info->shape, info->dtype == formats::Dtype::kI64 ? at::kLong : at::kFloat);
    const auto bytes = file.data(*info);
    std::memcpy(t.data_ptr(), bytes.data(), bytes.size());
    return t;
  }
  EncoderInput input() const { return {(*this)["ids"], (*this)["token_types"], ends()}; }
  at::Tensor ends() const { return (*this)["ends"].to(at::kInt); }

  formats::SafetensorsFile file;
};

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// Of positions that are not padding.
double largest_real_difference(const at::Tensor& a, const at::Tensor& b, const at::Tensor& ends) {
  const at::Tensor real = at::arange(a.size(1)).unsqueeze(0) < ends.unsqueeze(1);
  return (a - b).abs().amax(-1).masked_select(real).max().item<double>();
}

void expect_gradients(torch::nn::Module& model, const ArchSpec& spec, const Golden& golden) {
  size_t norms = 0;
  for (const auto& info : golden.file.tensors()) norms += info.name.starts_with("grad_norm.");
  const auto parameters = nn::list_parameters(model);
  EXPECT_EQ(parameters.size(), norms);
  for (const auto& p : parameters) {
    const std::string name = spec.hugging_face_name(p.name);
    const double want = golden["grad_norm." + name].item<double>();
    EXPECT_NEAR(p.tensor.grad().to(at::kDouble).norm().item<double>(), want, 1e-4 * want + 1e-7) << name;
  }
}

TEST(Bert, AgreesOnMaskedLanguageModelLogitsLossAndEveryParametersGradient) {
  const auto model = load<MaskedLanguageModel>();
  const Golden golden("bert-mlm");
  EXPECT_LT(largest_real_difference(model->logits(golden.input()), golden["logits"], golden.ends()), 1e-4);
  const at::Tensor loss =
      model->forward(golden["ids"], golden["labels"], std::optional<at::Tensor>(golden["token_types"]),
                     std::optional<at::Tensor>(golden.ends()));
  EXPECT_NEAR(loss.item<double>(), golden["loss"].item<double>(), 1e-4);
  loss.backward();
  expect_gradients(*model, model->spec(), golden);
}

TEST(Bert, AgreesOnClassificationLogitsLossAndEveryParametersGradient) {
  const auto model = load<SequenceClassifier>();
  const Golden golden("bert-classes");
  EXPECT_EQ(model->spec().labels, 3);
  EXPECT_LT(largest_difference(model->logits(golden.input()), golden["logits"]), 1e-4);
  const at::Tensor loss =
      model->forward(golden["ids"], golden["labels"], std::optional<at::Tensor>(golden["token_types"]),
                     std::optional<at::Tensor>(golden.ends()));
  EXPECT_NEAR(loss.item<double>(), golden["loss"].item<double>(), 1e-4);
  loss.backward();
  expect_gradients(*model, model->spec(), golden);
}

TEST(Bert, LogitsShowPaddingTokenTypesAndEveryOption) {
  const at::NoGradGuard no_grad;
  const Golden golden("bert-mlm");
  const auto difference = [&](const ArchSpec& spec, const EncoderInput& input) {
    return largest_real_difference(load<MaskedLanguageModel>(spec)->logits(input), golden["logits"],
                                   golden.ends());
  };
  const ArchSpec spec = models::read_arch_spec(kSharp / "config.json");
  EncoderInput input = golden.input();
  input.ends.reset();
  EXPECT_GT(difference(spec, input), 1e-2) << "padding";
  input = golden.input();
  input.token_types.reset();
  EXPECT_GT(difference(spec, input), 1e-2) << "token types";
  ArchSpec changed = spec;
  changed.bidirectional = true, changed.post_norm = false;
  EXPECT_THROW(difference(changed, golden.input()), base::Error) << "an encoder of that kind has a norm more";
  changed = spec;
  changed.activation = nn::Activation::kGeluTanh;
  EXPECT_GT(difference(changed, golden.input()), 1e-5) << "exact GELU";
}

TEST(Bert, PaddingChangesNothingAndMayHoldAnything) {
  const at::NoGradGuard no_grad;
  const auto model = load<SequenceClassifier>();
  const Golden golden("bert-classes");
  EncoderInput input = golden.input();
  const at::Tensor alone = model->logits(
      {input.ids.narrow(0, 1, 1).narrow(1, 0, 6), input.token_types->narrow(0, 1, 1).narrow(1, 0, 6), {}});
  EXPECT_LT(largest_difference(alone, golden["logits"].narrow(0, 1, 1)), 1e-4);
  input.ids = input.ids.clone();
  input.ids.narrow(0, 1, 1).narrow(1, 6, 11).fill_(3);
  EXPECT_LT(largest_difference(model->logits(input), golden["logits"]), 1e-4);
}

TEST(Bert, OneLabelIsARegressionByMeanSquaredError) {
  ArchSpec spec = models::read_arch_spec(kSharp / "config.json");
  spec.labels = 1;
  SequenceClassifier model(spec, std::make_shared<accel::Rng>(1));
  nn::DenseMaterializer().materialize(nn::list_parameters(model), nn::InitSource(3));
  model.eval();
  const Golden golden("bert-classes");
  const at::Tensor logits = model.logits(golden.input()), labels = at::tensor({0.5f, -1.0f, 2.0f});
  EXPECT_EQ(logits.sizes(), (at::IntArrayRef{3, 1}));
  EXPECT_NEAR(model.loss(logits, labels).item<double>(),
              (logits.view(3) - labels).pow(2).mean().item<double>(), 1e-6);
}

TEST(Bert, DropsOnlyWhileTrainingAndTheSameAgainAtTheSameStep) {
  const auto model = load<SequenceClassifier>();
  const Golden golden("bert-classes");
  const at::Tensor still = model->logits(golden.input());
  EXPECT_TRUE(still.equal(model->logits(golden.input())));
  model->train();
  const at::Tensor dropped = model->logits(golden.input());
  EXPECT_GT(largest_difference(dropped, still), 1e-3);
  EXPECT_TRUE(dropped.equal(model->logits(golden.input())));
}

std::vector<std::string> without(std::vector<std::string> names, const std::vector<std::string>& gone) {
  std::erase_if(names, [&](const std::string& name) { return std::ranges::count(gone, name) > 0; });
  return names;
}

TEST(BertWeights, ExportIsWhatWasReadAndNamesItsHead) {
  const fs::path target = fs::temp_directory_path() / fmt::format("ds_bert_export_{}", ::getpid());
  const auto model = load<MaskedLanguageModel>();
  ArchSpec spec = model->spec();
  spec.architecture = "BertForMaskedLM";
  models::export_hugging_face(target, spec, *model, {.source = kSharp, .dtype = at::kBFloat16});
  const auto ours = formats::SafetensorsModel::open(target), theirs = formats::SafetensorsModel::open(kSharp);
  EXPECT_EQ(ours.names(),
            without(theirs.names(), {"bert.pooler.dense.bias", "bert.pooler.dense.weight", "classifier.bias",
                                     "classifier.weight", "qa_outputs.bias", "qa_outputs.weight"}));
  for (const std::string& name : ours.names()) {
    const auto a = ours.data(name), b = theirs.data(name);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << name;
  }
  EXPECT_EQ(Json::parse(base::read_text_file(target / "config.json"))["architectures"],
            Json({"BertForMaskedLM"}));
  fs::remove_all(target);
}

// The golden's tensors under other names, in a folder of their own.
fs::path renamed(const std::string& name, const std::function<std::string(const std::string&)>& rename) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("ds_bert_{}_{}", name, ::getpid());
  fs::create_directories(folder);
  const auto files = formats::SafetensorsModel::open(kSharp);
  std::vector<formats::TensorView> views;
  for (const auto& old : files.names())
    if (const std::string now = rename(old); !now.empty())
      views.push_back({.name = now,
                       .dtype = files.info(old).dtype,
                       .shape = files.info(old).shape,
                       .data = files.data(old)});
  formats::write_safetensors_model(folder, views);
  return folder;
}

TEST(BertWeights, BareNamesAndThoseOfOlderFilesAreRead) {
  const auto rename = [](std::string name) {
    if (name.starts_with("bert.")) name = name.substr(5);
    for (const auto& [now, then] :
         {std::pair{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}})
      if (name.ends_with(now)) name.replace(name.size() - std::strlen(now), std::string::npos, then);
    return name;
  };
  const fs::path folder = renamed("bare", rename);
  const ArchSpec spec = models::read_arch_spec(kSharp / "config.json");
  MaskedLanguageModel model(spec, std::make_shared<accel::Rng>(1));
  load_weights(model, spec, folder);
  model.eval();
  const Golden golden("bert-mlm");
  EXPECT_LT(largest_real_difference(model.logits(golden.input()), golden["logits"], golden.ends()), 1e-4);
  fs::remove_all(folder);
}

TEST(BertWeights, AHeadThatIsMissingIsInitialisedFromTheSeedAndAnythingElseIsAnError) {
  const fs::path folder =
      renamed("headless", [](const std::string& name) { return name.starts_with("bert.") ? name : ""; });
  const ArchSpec spec = models::read_arch_spec(kSharp / "config.json");
  SequenceClassifier model(spec, std::make_shared<accel::Rng>(1));
  const auto parameters = nn::list_parameters(model);
  const models::WeightSource weights(formats::ModelFiles::open(folder), spec, 5);
  weights.check(parameters);
  EXPECT_THAT(weights.initialised(parameters), testing::ElementsAre("classifier.weight", "classifier.bias"));
  EXPECT_THAT(weights.unused(parameters), testing::IsEmpty());
  nn::DenseMaterializer().materialize(parameters, weights);
  for (const auto& p : parameters)
    if (p.name == "classifier.weight") {
      at::Tensor want = at::empty({p.numel()});
      nn::InitSource(5).fill(p, 0, want);
      EXPECT_TRUE(p.tensor.detach().view(-1).equal(want));
    }
  MaskedLanguageModel other(spec, std::make_shared<accel::Rng>(1));
  EXPECT_THAT(weights.unused(nn::list_parameters(other)),
              testing::ElementsAre("bert.pooler.dense.bias", "bert.pooler.dense.weight"));
  fs::remove_all(folder);

  const fs::path broken = renamed("broken", [](const std::string& name) {
    return name == "bert.encoder.layer.1.output.dense.bias" ? "" : name;
  });
  const models::WeightSource lacking(formats::ModelFiles::open(broken), spec);
  EXPECT_THROW(lacking.check(parameters), base::Error);
  fs::remove_all(broken);
}

// ---- 50-step runs

std::vector<Row> replay(const Json& run, const std::string& config) {
  std::vector<Row> rows;
  comm::run_ranks(run["world_size"].get<int>(), [&](comm::GroupPtr group) {
    engine::TrainOptions options;
    options.objective = run["objective"];
    options.seq_length = run["seq_length"];
    options.model = kGoldens / run["model"].get<std::string>();
    ArchSpec spec = models::read_arch_spec(options.model / "config.json");
    spec.embedding_dropout = spec.residual_dropout = spec.attention_dropout = spec.classifier_dropout = 0;
    const auto objective =
        engine::make_objective(spec, {.options = options, .rng = nullptr, .tokenizer = nullptr});
    load_weights(*objective->model(), spec, options.model);
    auto ready =
        initialize({.model = objective->model(),
                    .config = config,
                    .group = group,
                    .training_data = objective->open(kGoldens / run["data"].get<std::string>()).dataset,
                    .shuffle = false});
    const auto mine = parity::train_curve(ready, *group, run["steps"].get<int>(),
                                          [&](const auto& batch) { return objective->loss(batch); });
    if (group->rank() == 0) rows = mine;
  });
  return rows;
}

std::vector<Json> expected_rows(const Json& run) {
  return parity::json_lines(kGoldens / run["expected"].get<std::string>());
}

double worst_loss(const std::vector<Row>& ours, const std::vector<Json>& theirs) {
  double worst = 0;
  for (size_t i = 0; i < ours.size(); ++i)
    worst = std::max(worst, std::abs(ours[i].loss / theirs[i]["loss"].get<double>() - 1));
  return worst;
}

std::vector<Json> all_runs() {
  return Json::parse(base::read_text_file(kGoldens / "encoders.json"))["runs"].get<std::vector<Json>>();
}

class EncoderRun : public testing::TestWithParam<Json> {};
INSTANTIATE_TEST_SUITE_P(Parity, EncoderRun, testing::ValuesIn(all_runs()), [](const auto& info) {
  std::string name = info.param["name"];
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

TEST_P(EncoderRun, GivesDeepSpeedsLossesLearningRatesAndGradientNorms) {
  const Json run = GetParam();
  const auto theirs = expected_rows(run);
  ASSERT_EQ(theirs.size(), 50u);
  EXPECT_GT(run["fall_nats"].get<double>(), 0.3);
  const auto ours = replay(run, (kGoldens / run["config"].get<std::string>()).string());
  ASSERT_EQ(ours.size(), theirs.size());
  const Json& tolerance = run["tolerance"];
  EXPECT_LE(worst_loss(ours, theirs), tolerance["loss_relative"].get<double>());
  double worst_norm = 0;
  for (size_t i = 0; i < theirs.size(); ++i) {
    EXPECT_NEAR(ours[i].lr, theirs[i]["lr"].get<double>(), tolerance["lr_absolute"].get<double>())
        << "step " << i + 1;
    if (theirs[i]["grad_norm"].is_null()) continue;
    ASSERT_TRUE(ours[i].norm);
    worst_norm = std::max(worst_norm, std::abs(*ours[i].norm / theirs[i]["grad_norm"].get<double>() - 1));
  }
  EXPECT_LE(worst_norm, tolerance["grad_norm_relative"].get<double>());
  std::printf("[  FIGURE  ] worst loss off by %.2e, worst gradient norm by %.2e\n", worst_loss(ours, theirs),
              worst_norm);
}

TEST(EncoderRuns, FailWithALearningRateTwoPercentOff) {
  for (const Json& run : all_runs()) {
    if (!run["name"].get<std::string>().ends_with("z2")) continue;
    Json config = Json::parse(base::read_text_file(kGoldens / run["config"].get<std::string>()));
    for (const char* key : {"warmup_min_lr", "warmup_max_lr"})
      config["scheduler"]["params"][key] = config["scheduler"]["params"][key].get<double>() * 1.02;
    EXPECT_GT(worst_loss(replay(run, config.dump()), expected_rows(run)),
              run["tolerance"]["loss_relative"].get<double>())
        << run["name"];
  }
}

}  // namespace
}  // namespace deepspeed
