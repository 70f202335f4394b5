// Every family against transformers (README.md beside this file): logits, loss, gradients, greedy
// continuations; that each option of a family shows in them; that a key-value cache changes nothing; and that
// an export is the folder it came from.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/generate.h"
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

// Unchecked, a model may leave tensors of the folder aside.
std::shared_ptr<models::Decoder> load(const fs::path& folder, const ArchSpec& spec, bool checked = true) {
  auto model = std::make_shared<models::Decoder>(spec, nullptr);
  const auto parameters = nn::list_parameters(*model);
  const models::WeightSource weights(formats::ModelFiles::open(folder), spec);
  if (checked) weights.check(parameters);
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
INSTANTIATE_TEST_SUITE_P(Transformers, Family, testing::ValuesIn(families()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

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

std::vector<int32_t> row_of(const at::Tensor& t, int64_t row) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < t.size(1); ++i) ids.push_back(static_cast<int32_t>(t[row][i].item<int64_t>()));
  return ids;
}

// Up to the first step at which the two best logits of transformers are nearly tied.
TEST_P(Family, ContinuesPromptsAsTransformersDoes) {
  auto model = load(folder_of(GetParam()), spec_of(GetParam()));
  const auto expected = golden(GetParam());
  const at::Tensor prompts = tensor_of(expected, "prompts"), made = tensor_of(expected, "continuations"),
                   ties = tensor_of(expected, "first_near_tie");
  ASSERT_EQ(made.size(1), 64);
  int64_t whole = 0;
  for (int64_t i = 0; i < prompts.size(0); ++i) {
    const auto ours =
        models::generate(*model, row_of(prompts, i), {.max_new_tokens = made.size(1), .temperature = 0});
    const auto theirs = row_of(made, i);
    const auto sure = ties[i].item<int64_t>();
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t step = 0; step < static_cast<size_t>(sure); ++step)
      ASSERT_EQ(ours[step], theirs[step]) << "prompt " << i << ", step " << step;
    whole += sure == made.size(1);
  }
  EXPECT_GE(whole, 9);
}

TEST_P(Family, GivesTheSameLogitsOneTokenAtATimeWithACache) {
  const at::NoGradGuard no_grad;
  auto model = load(folder_of(GetParam()), spec_of(GetParam()));
  const at::Tensor ids = tensor_of(golden(GetParam()), "input_ids"), whole = model->logits(ids);
  const int64_t length = ids.size(1), prompt = 6;
  nn::ContiguousKvCache cache(static_cast<size_t>(model->spec().layers), length);
  const models::Rope& rope = model->spec().rope;
  if (rope.stretch == models::RopeStretch::kDynamic)
    GTEST_SKIP() << "every length has angles of its own; transformers' cache mixes them, too";
  if (!rope.keeps_keys(prompt, length)) {
    model->logits(ids.narrow(1, 0, prompt), &cache);
    EXPECT_THROW(model->logits(ids.narrow(1, prompt, length - prompt), &cache), base::Error);
    return;
  }
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
      {"phi3", "partial rotary", [](ArchSpec& s) { s.rope.dim = s.head_dim; }},
      {"phi3", "order of gate and up",
       [](ArchSpec& s) {
         for (auto& name : s.names)
           if (name.rows != models::RowOrder::kSame)
             name.rows = name.rows == models::RowOrder::kFirstHalf ? models::RowOrder::kSecondHalf
                                                                   : models::RowOrder::kFirstHalf;
       }},
      {"gpt_neox", "parallel residual", [](ArchSpec& s) { s.parallel_residual = false; }},
      {"gpt_neox", "partial rotary", [](ArchSpec& s) { s.rope.dim = s.head_dim; }},
      {"gpt_neox", "exact GELU", [](ArchSpec& s) { s.activation = nn::Activation::kGeluTanh; }},
      {"opt", "ReLU", [](ArchSpec& s) { s.activation = nn::Activation::kGeluErf; }},
      {"opt", "position offset",
       [](ArchSpec& s) { s.max_positions += s.position_offset, s.position_offset = 0; }},
      {"bloom", "alibi",
       [](ArchSpec& s) { s.positions = models::Positions::kRotary, s.rope.dim = s.head_dim; }},
      {"bloom", "interleaved heads",
       [](ArchSpec& s) {
         for (auto& name : s.names) name.rows = models::RowOrder::kSame;
       }},
      {"llama-linear", "factor", [](ArchSpec& s) { s.rope.factor *= 1.05; }},
      {"llama-dynamic", "growing base", [](ArchSpec& s) { s.rope.stretch = models::RopeStretch::kNone; }},
      {"llama-yarn", "amplitude", [](ArchSpec& s) { s.rope.amplitude = 1; }},
      {"llama-yarn", "whole pairs", [](ArchSpec& s) { s.rope.whole_pairs = false; }},
      {"llama-yarn", "fast turns", [](ArchSpec& s) { s.rope.fast_turns = 3; }},
      {"llama3", "between the bounds", [](ArchSpec& s) { s.rope.high_frequency = 3.3; }},
      {"llama3", "below them", [](ArchSpec& s) { s.rope.factor = 5; }},
      {"phi3-longrope", "long factors", [](ArchSpec& s) { s.rope.long_factors = s.rope.short_factors; }},
      {"phi3-longrope", "amplitude", [](ArchSpec& s) { s.rope.amplitude = 1; }},
      {"qwen3", "norms of heads", [](ArchSpec& s) { s.head_norm.reset(); }},
      {"phi", "norms of heads", [](ArchSpec& s) { s.head_norm.reset(); }},
      {"gptj", "interleaved pairs", [](ArchSpec& s) { s.rope.interleaved = false; }},
      {"gptj", "bias of the head", [](ArchSpec& s) { s.head_bias = false; }},
      {"gptj", "turned elements", [](ArchSpec& s) { s.rope.dim = 4; }},
      {"gpt_neo", "plain scores", [](ArchSpec& s) { s.attention_scale.reset(); }},
      {"gpt_neo", "windows of some layers", [](ArchSpec& s) { s.windows.assign(3, 5); }},
      {"falcon-rw", "alibi", [](ArchSpec& s) { s.alibi_scale = 1; }},
      {"falcon-40b", "two norms", [](ArchSpec& s) { s.shared_norm = true; }},
      {"gemma", "embedding scale", [](ArchSpec& s) { s.embedding_scale = 1; }},
      {"gemma", "weights from one", [](ArchSpec& s) { s.norm = nn::NormKind::kRmsNorm; }},
      {"gemma", "GeGLU", [](ArchSpec& s) { s.activation = nn::Activation::kSwiGlu; }},
      {"gemma2", "softcap of scores", [](ArchSpec& s) { s.attention_softcap = 0; }},
      {"gemma2", "softcap of logits", [](ArchSpec& s) { s.logit_softcap = 0; }},
      {"gemma2", "scale of scores", [](ArchSpec& s) { s.attention_scale.reset(); }},
      {"gemma2", "windows in turn", [](ArchSpec& s) { std::swap(s.windows[0], s.windows[1]); }},
      {"gemma2", "norms of branches", [](ArchSpec& s) { s.branch_norms = false; }},
      {"gemma3", "angles of local layers", [](ArchSpec& s) { s.local_rope.reset(); }},
      {"gemma3", "stretched angles of the others",
       [](ArchSpec& s) { s.rope.stretch = models::RopeStretch::kNone; }},
      {"gemma3", "norms of heads", [](ArchSpec& s) { s.head_norm.reset(); }},
      {"mixtral", "normalised shares", [](ArchSpec& s) { s.experts.normalised = false; }},
      {"mixtral", "number of experts of a token", [](ArchSpec& s) { s.experts.chosen = 1; }},
      {"qwen2_moe", "normalised shares", [](ArchSpec& s) { s.experts.normalised = false; }},
      {"qwen2_moe", "shared expert", [](ArchSpec& s) { s.experts.shared_intermediate = 0; }}};
  for (const Change& change : changes) {
    ArchSpec spec = spec_of(change.family);
    change.apply(spec);
    const auto expected = golden(change.family);
    const at::Tensor logits =
        load(folder_of(change.family), spec, /*checked=*/false)->logits(tensor_of(expected, "input_ids"));
    EXPECT_GT(largest_difference(logits, tensor_of(expected, "logits")), 5e-4)
        << change.family << ": " << change.what;
  }
}

TEST(Transformers, LossShowsTheBalanceOfExperts) {
  const at::NoGradGuard no_grad;
  for (const char* family : {"mixtral", "qwen2_moe"}) {
    ArchSpec spec = spec_of(family);
    EXPECT_EQ(spec.experts.balance, 0.05);
    spec.experts.balance = 0;
    const at::Tensor ids = tensor_of(golden(family), "input_ids");
    const double without = load(folder_of(family), spec)->forward(ids, ids).item<double>();
    EXPECT_GT(tensor_of(golden(family), "loss").item<double>() - without, 0.05);
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
