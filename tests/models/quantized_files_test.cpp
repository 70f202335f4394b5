#include "deepspeed/models/quantized_files.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/formats/model_files.h"
#include "deepspeed/models/code_bits.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/packed_model.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/ops/gptq.h"
#include "tests/support/error_of.h"

namespace deepspeed::models {
namespace {

namespace fs = std::filesystem;
using ops::PackedScheme;
using testing::HasSubstr;

constexpr const char* kLlama =
    R"({"model_type": "llama", "vocab_size": 31, "max_position_embeddings": 12, "hidden_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 72, "attention_bias": false})";
constexpr const char* kGpt2 =
    R"({"model_type": "gpt2", "vocab_size": 31, "n_positions": 12, "n_embd": 48, "n_layer": 2, "n_head": 4,
        "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0})";
// Fused by head, with biases; gate and up in one tensor.
constexpr const char* kNeox =
    R"({"model_type": "gpt_neox", "vocab_size": 31, "max_position_embeddings": 12, "hidden_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 72, "rotary_pct": 1.0})";
constexpr const char* kPhi3 =
    R"({"model_type": "phi3", "vocab_size": 31, "max_position_embeddings": 12, "original_max_position_embeddings": 12,
        "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 72, "pad_token_id": 0})";

class Quantized : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("ds_quantized_" + std::to_string(::getpid()));
    fs::remove_all(folder);
  }
  void TearDown() override { fs::remove_all(folder); }

  // A folder of a random model, as transformers has it.
  void write(const char* config) {
    fs::remove_all(folder);
    fs::create_directories(folder / "given");
    base::write_text_file(folder / "given/config.json", config);
    base::write_text_file(folder / "given/tokenizer.json", "{}");
    spec = read_arch_spec(folder / "given/config.json");
    Decoder model(spec, nullptr);
    nn::DenseMaterializer().materialize(nn::list_parameters(model), nn::InitSource(1));
    at::NoGradGuard no_grad;
    for (auto& p : model.parameters())
      if (p.dim() == 1) p.add_(at::randn_like(p) * 0.1);
    export_hugging_face(source(), spec, model, {.source = folder / "given"});
  }
  fs::path source() const { return folder / "source"; }
  fs::path out() const { return folder / "out"; }

  std::shared_ptr<Decoder> read(const fs::path& from,
                                const std::function<void(Decoder&)>& before = {}) const {
    auto model = std::make_shared<Decoder>(spec, nullptr);
    if (before) before(*model);
    const auto left = nn::list_parameters(*model);
    const WeightSource weights(formats::ModelFiles::open(from), spec);
    weights.check(left);
    nn::DenseMaterializer().materialize(left, weights);
    model->eval();
    return model;
  }

  fs::path folder;
  ArchSpec spec;
};

template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const base::Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST_F(Quantized, FoldersLoadIntoThePackedWeightsOfTheModelBitByBit) {
  at::NoGradGuard no_grad;
  const at::Tensor ids = at::arange(10).view({1, 10});
  for (const char* config : {kLlama, kGpt2, kNeox, kPhi3})
    for (const ops::PackOptions& weights :
         std::vector<ops::PackOptions>{{.scheme = PackedScheme::kInt4},
                                       {.scheme = PackedScheme::kInt4, .asymmetric = true},
                                       {.scheme = PackedScheme::kInt8, .group = 0},
                                       {.scheme = PackedScheme::kFp6, .group = 32},
                                       {.scheme = PackedScheme::kInt8Dynamic, .group = 0}})
      for (bool fuse : {true, false}) {
        SCOPED_TRACE(fmt::format("{} {}{} fuse {}", config, weights.asymmetric ? "asymmetric " : "",
                                 ops::scheme_name(weights.scheme), fuse));
        write(config);
        const QuantizedSize size = quantize_files(source(), out(), {.weights = weights});
        EXPECT_GE(size.tensors, 8);
        EXPECT_LT(size.after, size.before * 2 / 5);
        ASSERT_TRUE(QuantizedFiles::present(out()));
        EXPECT_TRUE(fs::exists(out() / "tokenizer.json"));

        auto dense = read(source());
        const auto want = nn::pack_linears(*dense, {.weights = weights, .fuse = fuse});
        const QuantizedFiles files(out(), spec);
        auto loaded = read(out(), [&](Decoder& model) {
          EXPECT_EQ(files.install(model, {.fuse = fuse}).products, want.products);
        });
        EXPECT_TRUE(at::equal(loaded->logits(ids), dense->logits(ids)));
      }
}

TEST_F(Quantized, TensorsWithMomentsAreRoundedByThem) {
  for (const char* config : {kLlama, kGpt2}) {
    write(config);
    const ops::PackOptions weights{.scheme = PackedScheme::kInt4, .asymmetric = true};
    const at::Tensor x = at::randn({300, 48}) + at::randn({300, 1}), moments = at::mm(x.t(), x);
    std::vector<std::string> asked;
    const auto moments_of = [&](const std::string& name) {
      asked.push_back(name);
      return name.find(".1.") != std::string::npos && name.find("down") == std::string::npos &&
                     name.find("mlp.c_proj") == std::string::npos
                 ? moments
                 : at::Tensor();
    };
    const QuantizedSize size = quantize_files(source(), out(), {.weights = weights, .moments = moments_of});
    EXPECT_EQ(static_cast<int64_t>(asked.size()), size.tensors);
    const QuantizedFiles files(out(), spec);
    const auto model = read(source());
    for (const auto& [name, block] : nn::blocks_of(*model)) {
      if (!name.ends_with("attention.output")) continue;
      const auto stored = files.linear(name, 48, false);
      const auto& dense = dynamic_cast<nn::DenseProjection&>(dynamic_cast<nn::Linear&>(*block).projection());
      const at::Tensor w = spec.order == ops::WeightOrder::kOutIn ? dense.weight() : dense.weight().t();
      const at::Tensor wanted = name.find("layers.1.") == std::string::npos
                                    ? ops::PackedWeight::pack(w, weights).codes().codes
                                    : ops::gptq_codes(w.contiguous(), moments, weights).codes;
      EXPECT_TRUE(at::equal(stored->codes.codes, wanted)) << name;
    }
  }
}

TEST_F(Quantized, SomeLayersMayKeepEightBits) {
  at::NoGradGuard no_grad;
  for (const char* config : {kLlama, kNeox}) {
    write(config);
    const ops::PackOptions weights{.scheme = PackedScheme::kInt4, .asymmetric = true};
    quantize_files(source(), out(), {.weights = weights, .eight_bits = {"value", "down"}});
    const QuantizedFiles files(out(), spec);
    const auto form = [&](const char* name, int64_t in) {
      return files.linear(name, in, false)->weights->scheme;
    };
    EXPECT_EQ(form("layers.1.mlp.down", 72), PackedScheme::kInt8);
    EXPECT_EQ(form("layers.1.mlp.up", 48), PackedScheme::kInt4);
    if (config == kLlama) {
      EXPECT_EQ(form("layers.0.attention.value", 48), PackedScheme::kInt8);
      EXPECT_EQ(form("layers.0.attention.query", 48), PackedScheme::kInt4);
    } else {
      EXPECT_EQ(form("layers.0.attention.qkv", 48), PackedScheme::kInt8) << "values are part of it";
    }
    const at::Tensor ids = at::arange(10).view({1, 10});
    const auto loaded = read(out(), [&](Decoder& model) { files.install(model); });
    const auto apart = read(out(), [&](Decoder& model) { files.install(model, {.fuse = false}); });
    EXPECT_TRUE(at::allclose(loaded->logits(ids), apart->logits(ids), 1e-4, 1e-4)) << "fused or not";
    const auto dense = read(source());
    nn::pack_linears(*dense, {.weights = weights});
    EXPECT_FALSE(at::allclose(loaded->logits(ids), dense->logits(ids), 1e-4, 1e-4));
  }
  EXPECT_THAT(refusal([&] {
                quantize_files(source(), out(),
                               {.weights = {.scheme = PackedScheme::kInt4}, .eight_bits = {"head"}});
              }),
              HasSubstr("'head' is none of the layers"));
  EXPECT_THAT(refusal([&] {
                quantize_files(source(), out(),
                               {.weights = {.scheme = PackedScheme::kInt8}, .eight_bits = {"down"}});
              }),
              HasSubstr("int8 has 8 bits everywhere"));
}

TEST_F(Quantized, ShiftsAreThereWhereTheConfigurationSaysSo) {
  write(kLlama);
  const auto loaded_as = [&](bool stored, const char* said) {
    fs::remove_all(out());
    quantize_files(source(), out(), {.weights = {.scheme = PackedScheme::kInt4, .asymmetric = stored}});
    auto config = nlohmann::json::parse(base::read_text_file(out() / "config.json"));
    config["quantization_config"]["asymmetric"] = nlohmann::json::parse(said);
    base::write_text_file(out() / "config.json", config.dump());
    return refusal([&] { QuantizedFiles(out(), spec).linear("layers.0.mlp.up", 48, false); });
  };
  EXPECT_EQ(loaded_as(true, "true"), "accepted");
  EXPECT_THAT(loaded_as(true, "false"), HasSubstr("has shifts, but"));
  EXPECT_THAT(loaded_as(false, "true"), HasSubstr("has no shifts, but"));
  EXPECT_THAT(loaded_as(true, "1"), HasSubstr("must be true or false"));
}

TEST_F(Quantized, AFolderThatIsThereIsLeftAlone) {
  write(kLlama);
  fs::create_directories(out());
  base::write_text_file(out() / "tokenizer.gguf", "of another model");
  EXPECT_THAT(refusal([&] { quantize_files(source(), out(), {.weights = {.scheme = PackedScheme::kInt4}}); }),
              HasSubstr("is there already"));
  EXPECT_EQ(base::read_text_file(out() / "tokenizer.gguf"), "of another model");
}

TEST_F(Quantized, TensorsMayBeKept) {
  write(kLlama);
  const auto keep = [](const std::string& name) { return name.find("layers.0.") != std::string::npos; };
  EXPECT_EQ(
      quantize_files(source(), out(), {.weights = {.scheme = PackedScheme::kInt8}, .keep = keep}).tensors, 7);
  const QuantizedFiles files(out(), spec);
  EXPECT_FALSE(files.linear("layers.0.mlp.up", 48, false));
  EXPECT_TRUE(files.linear("layers.1.mlp.up", 48, false));
  at::NoGradGuard no_grad;
  auto loaded = read(out(), [&](Decoder& model) { files.install(model); });
  EXPECT_TRUE(loaded->logits(at::arange(4).view({1, 4})).isfinite().all().item<bool>());
}

TEST_F(Quantized, EncodersAreQuantizedWithTheirBiases) {
  const fs::path bert = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens/models/bert";
  quantize_files(bert, out(), {.weights = {.scheme = PackedScheme::kInt8}});
  const auto query = QuantizedFiles(out(), read_arch_spec(bert / "config.json"))
                         .linear("encoder.layers.0.attention.query", 48, /*biased=*/true);
  ASSERT_TRUE(query);
  const formats::ModelFiles files = formats::ModelFiles::open(bert);
  const auto floats = [&](const std::string& end, at::IntArrayRef shape) {
    const at::Tensor values = at::empty(shape, at::kFloat);
    for (const std::string& name : files.names())
      if (name.ends_with("encoder.layer.0.attention.self.query." + end))
        formats::read_floats(files.tensor(name), 0, static_cast<size_t>(values.numel()),
                             values.data_ptr<float>());
    return values;
  };
  EXPECT_TRUE(at::equal(query->bias, floats("bias", {48})));
  const at::Tensor weight = floats("weight", {48, 48});
  const at::Tensor off = query->codes.codes.to(at::kFloat) * query->codes.scales.to(at::kFloat) - weight;
  EXPECT_TRUE((off.abs() <= weight.abs().amax(1, true) / 254 * 1.01).all().item<bool>());
}

TEST_F(Quantized, SentenceEncodersKeepTheirModules) {
  const fs::path given = folder / "sentences";
  fs::create_directories(given / "1_Pooling");
  for (const auto& file :
       fs::directory_iterator(fs::path(DS_SOURCE_DIR) / "tests/parity/goldens/models/bert"))
    fs::copy(file.path(), given / file.path().filename());
  base::write_text_file(given / "1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})");
  const auto quantize = [&](const char* modules) {
    base::write_text_file(given / "modules.json", modules);
    fs::remove_all(out());
    quantize_files(given, out(), {.weights = {.scheme = PackedScheme::kInt8}});
  };
  quantize(R"([{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.Pooling"}])");
  EXPECT_EQ(base::read_text_file(out() / "1_Pooling/config.json"), R"({"pooling_mode_mean_tokens": true})");
  EXPECT_THAT(
      testing_support::error_of([&] { quantize(R"([{"path": "../sentences", "type": "a.Pooling"}])"); }),
      HasSubstr("the module '../sentences' lies outside the folder"));
}

TEST_F(Quantized, RefusesWhatItCannotDo) {
  write(kLlama);
  const QuantizeOptions int4{.weights = {.scheme = PackedScheme::kInt4}};
  EXPECT_THAT(refusal([&] { quantize_files(source(), out(), {.weights = {.scheme = PackedScheme::kBf16}}); }),
              HasSubstr("bf16 is no scheme"));
  EXPECT_THAT(refusal([&] { quantize_files(source(), source(), int4); }), HasSubstr("onto itself"));
  quantize_files(source(), out(), int4);
  EXPECT_THAT(refusal([&] { quantize_files(out(), folder / "again", int4); }),
              HasSubstr("is quantized already"));
  EXPECT_FALSE(QuantizedFiles::present(source()));
  std::string config = base::read_text_file(out() / "config.json");
  config.replace(config.find("int4"), 4, "int3");
  base::write_text_file(out() / "config.json", config);
  EXPECT_THAT(refusal([&] { QuantizedFiles(out(), spec); }), HasSubstr("scheme 'int3'"));
}

TEST(CodeBits, ComeBackForEveryWidth) {
  for (int64_t bits : {4, 6, 8})
    for (int64_t in : {1, 2, 3, 5, 64, 77}) {
      const int64_t least = bits == 6   ? 0
                            : bits == 4 ? -8
                                        : -127,
                    most = bits == 6   ? 64
                           : bits == 4 ? 8
                                       : 128;
      const at::Tensor codes = at::randint(least, most, {5, in}, at::kChar), stored = to_bits(codes, bits);
      EXPECT_EQ(stored.size(1), (in * bits + 7) / 8);
      EXPECT_TRUE(at::equal(from_bits(stored, bits, in), codes));
    }
  EXPECT_THROW(from_bits(at::zeros({2, 3}, at::kByte), 4, 7), base::Error);
}

}  // namespace
}  // namespace deepspeed::models
