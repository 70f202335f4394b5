#include "deepspeed/models/weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/models/decoder.h"

namespace deepspeed::models {
namespace {
namespace fs = std::filesystem;

class Weights : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("ds_weights_" + std::to_string(::getpid()));
    fs::remove_all(folder);
    fs::create_directories(folder / "source");
    base::write_text_file(folder / "source/config.json", kConfig);
    base::write_text_file(folder / "source/tokenizer.json", "{}");
    spec = read_arch_spec(folder / "source/config.json");
    model = std::make_shared<Decoder>(spec, nullptr);
    nn::DenseMaterializer().materialize(nn::list_parameters(*model), nn::InitSource(1));
  }
  void TearDown() override { fs::remove_all(folder); }
  std::shared_ptr<Decoder> load(const fs::path& from) {
    auto loaded = std::make_shared<Decoder>(spec, nullptr);
    const WeightSource source(formats::SafetensorsModel::open(from), spec);
    source.check(nn::list_parameters(*loaded));
    nn::DenseMaterializer().materialize(nn::list_parameters(*loaded), source);
    return loaded;
  }
  static constexpr const char* kConfig =
      R"({"model_type": "llama", "vocab_size": 31, "max_position_embeddings": 12, "hidden_size": 16, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24})";
  fs::path folder;
  ArchSpec spec;
  std::shared_ptr<Decoder> model;
};

TEST_F(Weights, ExportedAreReadBackTheSame) {
  export_hugging_face(folder / "out", spec, *model, {.source = folder / "source"});
  auto loaded = load(folder / "out");
  const auto a = model->parameters(), b = loaded->parameters();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i], b[i]));
  EXPECT_TRUE(fs::exists(folder / "out/tokenizer.json"));
  const auto config = nlohmann::json::parse(base::read_text_file(folder / "out/config.json"));
  EXPECT_EQ(config["architectures"][0], "LlamaForCausalLM");
  EXPECT_EQ(config["dtype"], "float32");
}

TEST_F(Weights, ShardsOfAParameterAreReadAlone) {
  export_hugging_face(folder / "out", spec, *model, {.source = folder / "source"});
  const auto specs = nn::list_parameters(*model);
  const auto layout = partition::Layout::per_parameter(nn::sizes_of(specs), 3);
  for (int rank = 0; rank < 3; ++rank) {
    nn::ShardMaterializer shard(layout, rank);
    shard.materialize(specs, WeightSource(formats::SafetensorsModel::open(folder / "out"), spec));
    for (const auto& piece : layout.pieces(rank))
      ASSERT_TRUE(
          at::equal(shard.shard().narrow(0, piece.shard_offset, piece.count),
                    specs[piece.param].tensor.detach().view({-1}).narrow(0, piece.begin, piece.count)));
  }
}

TEST_F(Weights, ShardsOfFusedTensorsAreReadAlone) {
  for (const char* family : {"phi3", "gpt_neox"}) {
    const auto fused = parse_arch_spec({{"model_type", family},
                                        {"vocab_size", 31},
                                        {"hidden_size", 16},
                                        {"num_hidden_layers", 2},
                                        {"num_attention_heads", 4},
                                        {"rotary_pct", 0.5},
                                        {"intermediate_size", 24}},
                                       "c");
    Decoder source(fused, nullptr);
    const auto specs = nn::list_parameters(source);
    nn::DenseMaterializer().materialize(specs, nn::InitSource(1));
    export_hugging_face(folder / family, fused, source, {.source = folder / "source"});
    const WeightSource files(formats::SafetensorsModel::open(folder / family), fused);
    files.check(specs);
    const auto layout = partition::Layout::per_parameter(nn::sizes_of(specs), 3);
    for (int rank = 0; rank < 3; ++rank) {
      nn::ShardMaterializer shard(layout, rank);
      shard.materialize(specs, files);
      for (const auto& piece : layout.pieces(rank))
        ASSERT_TRUE(
            at::equal(shard.shard().narrow(0, piece.shard_offset, piece.count),
                      specs[piece.param].tensor.detach().view({-1}).narrow(0, piece.begin, piece.count)))
            << family << " " << specs[piece.param].name;
    }
  }
}

TEST_F(Weights, OfAnotherShapeAreRefusedNamingBoth) {
  export_hugging_face(folder / "out", spec, *model, {.source = folder / "source"});
  ArchSpec other = spec;
  other.intermediate = 25;
  Decoder larger(other, nullptr);
  const WeightSource source(formats::SafetensorsModel::open(folder / "out"), other);
  EXPECT_THROW(source.check(nn::list_parameters(larger)), base::Error);
}

TEST_F(Weights, InBf16AreRoundedOnce) {
  export_hugging_face(folder / "out", spec, *model, {.source = folder / "source", .dtype = at::kBFloat16});
  auto loaded = load(folder / "out");
  EXPECT_TRUE(at::equal(loaded->parameters()[0], model->parameters()[0].to(at::kBFloat16).to(at::kFloat)));
}

TEST_F(Weights, MayLackTheFamilysPrefix) {
  std::vector<at::Tensor> kept;
  std::vector<formats::TensorView> views;
  for (const auto& p : nn::list_parameters(*model)) {
    std::string name = spec.hugging_face_name(p.name);
    if (name.rfind(spec.name_prefix, 0) == 0) name = name.substr(spec.name_prefix.size());
    kept.push_back(p.tensor.detach().contiguous());
    views.push_back({name,
                     formats::Dtype::kF32,
                     p.shape,
                     {static_cast<const std::byte*>(kept.back().const_data_ptr()),
                      static_cast<size_t>(kept.back().nbytes())}});
  }
  fs::create_directories(folder / "bare");
  formats::write_safetensors_model(folder / "bare", views);
  EXPECT_TRUE(at::equal(load(folder / "bare")->parameters()[0], model->parameters()[0]));
}

}  // namespace
}  // namespace deepspeed::models
