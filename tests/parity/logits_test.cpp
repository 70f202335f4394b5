// Every family against transformers (README.md beside this file): logits, loss, gradients; that each option
// of a family shows in them; that a key-value cache changes nothing; and that an export is the folder it came
// from.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "deepspeed/base/file.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using models::ArchSpec;

const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";

std::vector<std::string> families() {
  std::vector<std::string> names;
  const Json manifest = Json::parse(base::read_text_file(kGoldens / "manifest.json"));
  for (const auto& entry : manifest["logits"])
    names.push_back(fs::path(entry["expected"].get<std::string>()).stem());
  return names;
}
fs::path folder_of(const std::string& family) { return kGoldens / "models" / (family + "-sharp"); }
ArchSpec spec_of(const std::string& family) {
  return models::read_arch_spec(folder_of(family) / "config.json");
}

std::shared_ptr<models::Decoder> load(const fs::path& folder, const ArchSpec& spec) {
  auto model = std::make_shared<models::Decoder>(spec, nullptr);
  const auto parameters = nn::list_parameters(*model);
  const models::WeightSource weights(formats::SafetensorsModel::open(folder), spec);
  weights.check(parameters);
  nn::DenseMaterializer().materialize(parameters, weights);
  model->eval();
  return model;
}

at::Tensor tensor_of(const formats::SafetensorsFile& file, const std::string& name) {
  const auto* info = file.find(name);
  EXPECT_NE(info, nullptr) << name;
  at::Tensor t = at::empty(info->shape, info->dtype == formats::Dtype::kI64 ? at::kLong : at::kFloat);
  const auto bytes = file.data(*info);
  std::memcpy(t.data_ptr(), bytes.data(), bytes.size());
  return t;
}

formats::SafetensorsFile golden(const std::string& family) {
  return formats::SafetensorsFile(kGoldens / "logits" / (family + ".safetensors"));
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

class Family : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Transformers, Family, testing::ValuesIn(families()),
                         [](const auto& info) { return info.param; });

TEST_P(Family, AgreesOnLogitsLossAndEveryParametersGradient) {
  auto model = load(folder_of(GetParam()), spec_of(GetParam()));
  const auto expected = golden(GetParam());
  const at::Tensor ids = tensor_of(expected, "input_ids");
  EXPECT_LT(largest_difference(model->logits(ids), tensor_of(expected, "logits")), 1e-4);
  EXPECT_LT(largest_difference(model->logits(tensor_of(expected, "single.input_ids")),
                               tensor_of(expected, "single.logits")),
            1e-4);
  const at::Tensor loss = model->forward(ids, ids);
  EXPECT_NEAR(loss.item<double>(), tensor_of(expected, "loss").item<double>(), 1e-4);
  loss.backward();
  std::map<std::string, double> squares;  // a tensor of the file may hold several parameters of ours
  for (const auto& parameter : nn::list_parameters(*model))
    squares[model->spec().hugging_face_name(parameter.name)] +=
        std::pow(parameter.tensor.grad().to(at::kDouble).norm().item<double>(), 2);
  size_t norms = 0;
  for (const auto& info : expected.tensors()) norms += info.name.starts_with("grad_norm.");
  EXPECT_EQ(squares.size(), norms);
  for (const auto& [name, square] : squares) {
    const double want = tensor_of(expected, "grad_norm." + name).item<double>();
    EXPECT_NEAR(std::sqrt(square), want, 1e-4 * want + 1e-7) << name;
  }
}

TEST_P(Family, GivesTheSameLogitsOneTokenAtATimeWithACache) {
  const at::NoGradGuard no_grad;
  auto model = load(folder_of(GetParam()), spec_of(GetParam()));
  const at::Tensor ids = tensor_of(golden(GetParam()), "input_ids"), whole = model->logits(ids);
  const int64_t length = ids.size(1), prompt = 6;
  nn::ContiguousKvCache cache(static_cast<size_t>(model->spec().layers), length);
  EXPECT_LT(largest_difference(model->logits(ids.narrow(1, 0, prompt), &cache), whole.narrow(1, 0, prompt)),
            1e-4);
  for (int64_t t = prompt; t < length; ++t)
    EXPECT_LT(largest_difference(model->logits(ids.narrow(1, t, 1), &cache), whole.narrow(1, t, 1)), 1e-4)
        << t;
}

TEST_P(Family, ExportsTheFolderItWasReadFrom) {
  const fs::path source = folder_of(GetParam()),
                 target = fs::temp_directory_path() / fmt::format("ds_export_{}_{}", GetParam(), ::getpid());
  const ArchSpec spec = spec_of(GetParam());
  const auto theirs = formats::SafetensorsModel::open(source);
  const at::ScalarType dtype = models::tensor_dtype(theirs.info(theirs.names()[0]).dtype, source.string());
  models::export_hugging_face(target, spec, *load(source, spec), {.source = source, .dtype = dtype});
  const auto ours = formats::SafetensorsModel::open(target);
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

// With an option off, or another than the configuration's, the logits must not agree: else the goldens could
// not tell a family that has it from one that lacks it.
struct Change {
  const char* family;
  const char* what;
  void (*apply)(ArchSpec&);
};

TEST(Transformers, LogitsShowEveryOption) {
  const at::NoGradGuard no_grad;
  const Change changes[] = {
      {"mistral", "window", [](ArchSpec& s) { s.windows.clear(); }},
      {"mistral", "window one longer", [](ArchSpec& s) { s.windows.assign(2, s.windows[0] + 1); }},
      {"qwen2", "window of all layers", [](ArchSpec& s) { s.windows.assign(3, 9); }},
      {"phi3", "window", [](ArchSpec& s) { s.windows.clear(); }},
      {"phi3", "partial rotary", [](ArchSpec& s) { s.rotary_dim = s.head_dim; }},
      {"phi3", "order of gate and up",
       [](ArchSpec& s) {
         for (auto& name : s.names)
           if (name.rows != models::RowOrder::kSame)
             name.rows = name.rows == models::RowOrder::kFirstHalf ? models::RowOrder::kSecondHalf
                                                                   : models::RowOrder::kFirstHalf;
       }},
      {"gpt_neox", "parallel residual", [](ArchSpec& s) { s.parallel_residual = false; }},
      {"gpt_neox", "partial rotary", [](ArchSpec& s) { s.rotary_dim = s.head_dim; }},
      {"gpt_neox", "exact GELU", [](ArchSpec& s) { s.activation = nn::Activation::kGeluTanh; }},
      {"opt", "ReLU", [](ArchSpec& s) { s.activation = nn::Activation::kGeluErf; }},
      {"opt", "position offset",
       [](ArchSpec& s) { s.max_positions += s.position_offset, s.position_offset = 0; }},
      {"bloom", "alibi",
       [](ArchSpec& s) { s.positions = models::Positions::kRotary, s.rotary_dim = s.head_dim; }},
      {"bloom", "interleaved heads", [](ArchSpec& s) {
         for (auto& name : s.names) name.rows = models::RowOrder::kSame;
       }}};
  for (const Change& change : changes) {
    ArchSpec spec = spec_of(change.family);
    change.apply(spec);
    const auto expected = golden(change.family);
    const at::Tensor logits = load(folder_of(change.family), spec)->logits(tensor_of(expected, "input_ids"));
    EXPECT_GT(largest_difference(logits, tensor_of(expected, "logits")), 5e-4)
        << change.family << ": " << change.what;
  }
}

TEST(Transformers, PaddingTokensGetNoGradientFromTheirLookups) {
  auto model = load(folder_of("phi3"), spec_of("phi3"));
  const at::Tensor ids = tensor_of(golden("phi3"), "input_ids");
  const int64_t padding = *model->spec().padding_token;
  ASSERT_TRUE(ids.eq(padding).any().item<bool>());
  model->forward(ids, ids).backward();
  const at::Tensor gradient = model->named_parameters()["embedding.weight"].grad();
  EXPECT_EQ(gradient[padding].abs().max().item<float>(), 0);
  EXPECT_GT(gradient.abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace deepspeed
