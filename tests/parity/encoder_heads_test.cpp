// BERT and its kin with every head against transformers (README.md beside this file): logits, loss and
// gradients, with padding, token types and padding tokens within texts; and that an export is what was read.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/models/weights.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using models::ArchSpec;

const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";

fs::path folder_of(const std::string& family) { return kGoldens / "models" / (family + "-sharp"); }
ArchSpec spec_of(const std::string& family) {
  return models::read_arch_spec(folder_of(family) / "config.json");
}

template <class Model>
std::shared_ptr<Model> load(const std::string& family, const ArchSpec& spec) {
  auto model = std::make_shared<Model>(spec, std::make_shared<accel::Rng>(1));
  const auto parameters = nn::list_parameters(*model);
  const models::WeightSource weights(formats::ModelFiles::open(folder_of(family)), spec);
  weights.check(parameters);
  EXPECT_TRUE(weights.initialised(parameters).empty());
  nn::DenseMaterializer().materialize(parameters, weights);
  model->eval();
  return model;
}

struct Golden {
  Golden(const std::string& family, const std::string& head)
      : file(kGoldens / "logits" / (family + "-" + head + ".safetensors")) {}
  at::Tensor operator[](const std::string& name) const {
    const auto* info = file.find(name);
    EXPECT_NE(info, nullptr) << name;
    at::Tensor t = at::empty(info->shape, info->dtype == formats::Dtype::kI64 ? at::kLong : at::kFloat);
    const auto bytes = file.data(*info);
    std::memcpy(t.data_ptr(), bytes.data(), bytes.size());
    return t;
  }
  at::Tensor ends() const { return (*this)["ends"].to(at::kInt); }
  models::EncoderInput input() const { return {(*this)["ids"], (*this)["token_types"], ends()}; }

  formats::SafetensorsFile file;
};

// Of positions that are not padding, where there are positions.
double largest_difference(const at::Tensor& a, const at::Tensor& b, const at::Tensor& ends) {
  at::Tensor difference = (a - b).abs().amax(-1);
  if (difference.dim() == 2)
    difference = difference.masked_select(at::arange(a.size(1)).unsqueeze(0) < ends.unsqueeze(1));
  return difference.max().item<double>();
}

void expect_gradients(const std::vector<nn::ParameterSpec>& parameters, const ArchSpec& spec,
                      const Golden& golden) {
  size_t norms = 0;
  for (const auto& info : golden.file.tensors()) norms += info.name.starts_with("grad_norm.");
  EXPECT_EQ(parameters.size(), norms);
  for (const auto& p : parameters) {
    const double want = golden["grad_norm." + spec.hugging_face_name(p.name)].item<double>();
    EXPECT_NEAR(p.tensor.grad().to(at::kDouble).norm().item<double>(), want, 1e-4 * want + 1e-7) << p.name;
  }
}

template <class Model>
void expect_parity(const std::string& family, const std::string& head) {
  SCOPED_TRACE(family + " " + head);
  const Golden golden(family, head);
  const auto model = load<Model>(family, spec_of(family));
  EXPECT_LT(largest_difference(model->logits(golden.input()), golden["logits"], golden.ends()), 1e-4);
  const at::Tensor loss =
      model->forward(golden["ids"], golden["labels"], std::optional<at::Tensor>(golden["token_types"]),
                     std::optional<at::Tensor>(golden.ends()));
  EXPECT_NEAR(loss.item<double>(), golden["loss"].item<double>(), 1e-4);
  loss.backward();
  expect_gradients(nn::list_parameters(*model), model->spec(), golden);
}

class EncoderFamily : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Transformers, EncoderFamily,
                         testing::Values("bert", "roberta", "xlm_roberta", "distilbert", "albert",
                                         "deberta_v2", "deberta_v2_own"),
                         [](const auto& info) { return info.param; });

TEST_P(EncoderFamily, AgreesOnLogitsLossAndEveryParametersGradientOfEveryHead) {
  expect_parity<models::MaskedLanguageModel>(GetParam(), "mlm");
  expect_parity<models::SequenceClassifier>(GetParam(), "classes");
  expect_parity<models::TokenClassifier>(GetParam(), "tokens");
  expect_parity<models::QuestionAnswerer>(GetParam(), "answers");
}

template <class Model>
void collect_export(const std::string& family, std::set<std::string>& seen) {
  const fs::path target = fs::temp_directory_path() / fmt::format("ds_{}_export_{}", family, ::getpid());
  const ArchSpec spec = spec_of(family);
  models::export_hugging_face(target, spec, *load<Model>(family, spec),
                              {.source = folder_of(family), .dtype = at::kBFloat16});
  const auto ours = formats::SafetensorsModel::open(target),
             theirs = formats::SafetensorsModel::open(folder_of(family));
  for (const std::string& name : ours.names()) {
    const auto a = ours.data(name), b = theirs.data(name);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << name;
    seen.insert(name);
  }
  fs::remove_all(target);
}

TEST_P(EncoderFamily, ExportsWhatItReadAndNothingIsLeftAside) {
  std::set<std::string> seen;
  collect_export<models::MaskedLanguageModel>(GetParam(), seen);
  collect_export<models::SequenceClassifier>(GetParam(), seen);
  collect_export<models::TokenClassifier>(GetParam(), seen);
  collect_export<models::QuestionAnswerer>(GetParam(), seen);
  for (const auto& name : formats::SafetensorsModel::open(folder_of(GetParam())).names())
    EXPECT_TRUE(seen.contains(name)) << name;
}

TEST(EncoderFamilies, LogitsShowEveryOption) {
  const at::NoGradGuard no_grad;
  struct Change {
    const char* family;
    const char* what;
    void (*apply)(ArchSpec&);
  };
  const Change changes[] = {
      {"roberta", "positions that count", [](ArchSpec& s) { s.counted_positions = false; }},
      {"albert", "shared layers",
       [](ArchSpec& s) {
         s.layer_order = {0, 0, 1, 1, 1};
       }},
      {"albert", "depth", [](ArchSpec& s) { s.layer_order.clear(); }},
      {"albert", "tanh GELU", [](ArchSpec& s) { s.activation = nn::Activation::kRelu; }},
      {"deberta_v2", "content to position",
       [](ArchSpec& s) { s.disentangled->parts.content_to_position = false; }},
      {"deberta_v2", "position to content",
       [](ArchSpec& s) { s.disentangled->parts.position_to_content = false; }},
      {"deberta_v2", "buckets", [](ArchSpec& s) { s.disentangled->table.buckets = false; }},
      {"deberta_v2", "farthest distance", [](ArchSpec& s) { s.disentangled->table.max_distance = 12; }},
      {"deberta_v2", "scale of the scores", [](ArchSpec& s) { s.attention_scale.reset(); }},
      {"deberta_v2", "GELU of the pooler", [](ArchSpec& s) { s.pooler_activation.reset(); }},
      {"distilbert", "ReLU of the pooler", [](ArchSpec& s) { s.pooler_activation.reset(); }}};
  for (const Change& change : changes) {
    ArchSpec spec = spec_of(change.family);
    change.apply(spec);
    const Golden golden(change.family, "classes");
    const auto model = load<models::SequenceClassifier>(change.family, spec);
    EXPECT_GT(largest_difference(model->logits(golden.input()), golden["logits"], golden.ends()), 1e-3)
        << change.family << ": " << change.what;
  }
}

TEST(EncoderFamilies, ConfigurationsThatNeedMoreAreRefused) {
  for (const auto& config : std::vector<nlohmann::json>{
           {{"model_type", "albert"}, {"inner_group_num", 2}},
           {{"model_type", "distilbert"}, {"sinusoidal_pos_embds", true}},
           {{"model_type", "roberta"}, {"hidden_act", "relu"}},
           {{"model_type", "deberta-v2"}, {"conv_kernel_size", 3}},
           {{"model_type", "deberta-v2"}, {"embedding_size", 128}},
           {{"model_type", "deberta-v2"}, {"relative_attention", true}},
           {{"model_type", "deberta-v2"}, {"relative_attention", true}, {"pos_att_type", "c2p|p2p"}},
           {{"model_type", "deberta-v2"},
            {"relative_attention", true},
            {"pos_att_type", "c2p|p2c"},
            {"norm_rel_ebd", "batch_norm"}},
           {{"model_type", "roberta"}, {"pad_token_id", nullptr}}})
    EXPECT_ANY_THROW(models::parse_arch_spec(config, "c")) << config;
}

}  // namespace
}  // namespace deepspeed
