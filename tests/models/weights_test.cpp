#include "deepspeed/models/weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

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
    const WeightSource source(formats::ModelFiles::open(from), spec);
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
    shard.materialize(specs, WeightSource(formats::ModelFiles::open(folder / "out"), spec));
    for (const auto& piece : layout.pieces(rank))
      ASSERT_TRUE(
          at::equal(shard.shard().narrow(0, piece.shard_offset, piece.count),
                    specs[piece.param].tensor.detach().view({-1}).narrow(0, piece.begin, piece.count)));
  }
}

TEST_F(Weights, ShardsOfFusedTensorsAreReadAlone) {
  for (const char* family : {"phi3", "gpt_neox", "falcon", "mixtral"}) {
    const auto fused = parse_arch_spec({{"model_type", family},
                                        {"vocab_size", 31},
                                        {"num_key_value_heads", 2},
                                        {"num_local_experts", 3},
                                        {"new_decoder_architecture", true},
                                        {"num_kv_heads", 2},
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
    const WeightSource files(formats::ModelFiles::open(folder / family), fused);
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
  const WeightSource source(formats::ModelFiles::open(folder / "out"), other);
  EXPECT_THROW(source.check(nn::list_parameters(larger)), base::Error);
}

// The exported model with other names.
std::string error_with(const fs::path& folder, const ArchSpec& spec, torch::nn::Module& model,
                       const std::function<std::string(const std::string&)>& rename) {
  std::vector<at::Tensor> kept;
  std::vector<formats::TensorView> views;
  for (const auto& p : nn::list_parameters(model)) {
    const std::string name = rename(spec.hugging_face_name(p.name));
    if (name.empty()) continue;
    kept.push_back(p.tensor.detach().contiguous());
    views.push_back({name,
                     formats::Dtype::kF32,
                     p.shape,
                     {static_cast<const std::byte*>(kept.back().const_data_ptr()),
                      static_cast<size_t>(kept.back().nbytes())}});
  }
  fs::remove_all(folder);
  fs::create_directories(folder);
  formats::write_safetensors_model(folder, views);
  try {
    WeightSource(formats::ModelFiles::open(folder), spec).check(nn::list_parameters(model));
  } catch (const base::Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST_F(Weights, OfAnotherModelAreRefusedListingWhatIsMissingAndWhatIsUnexpected) {
  const auto error = [&](const std::function<std::string(const std::string&)>& rename) {
    return error_with(folder / "other", spec, *model, rename);
  };
  const std::string begin =
      (folder / "other").string() + " does not hold a llama as config.json describes it: ";
  EXPECT_EQ(error([](const std::string& name) { return name; }), "accepted");
  EXPECT_EQ(error([](const std::string& name) { return name == "model.norm.weight" ? "" : name; }),
            begin + "missing model.norm.weight");
  EXPECT_EQ(
      error([](const std::string& name) { return name == "model.norm.weight" ? "model.ln.weight" : name; }),
      begin + "missing model.norm.weight; unexpected model.ln.weight");
  EXPECT_NE(error([](const std::string& name) {
              return name == "model.norm.weight" ? name : "x." + name;
            }).find("and 14 more; unexpected x."),
            std::string::npos);
}

TEST_F(Weights, BuffersAndOtherHeadsAreNoSurprise) {
  const auto gpt2 = parse_arch_spec({{"model_type", "gpt2"},
                                     {"vocab_size", 31},
                                     {"n_embd", 16},
                                     {"n_head", 4},
                                     {"n_layer", 1},
                                     {"embd_pdrop", 0},
                                     {"attn_pdrop", 0},
                                     {"resid_pdrop", 0}},
                                    "c");
  for (const char* name :
       {"transformer.h.0.attn.bias", "transformer.h.0.attn.masked_bias", "lm_head.weight"}) {
    Decoder gpt(gpt2, nullptr);
    nn::DenseMaterializer().materialize(nn::list_parameters(gpt), nn::InitSource(1));
    export_hugging_face(folder / "gpt2", gpt2, gpt, {.source = folder / "source"});
    auto file = formats::SafetensorsModel::open(folder / "gpt2");
    std::vector<formats::TensorView> views;
    for (const auto& each : file.names())
      views.push_back({each, file.info(each).dtype, file.info(each).shape, file.data(each)});
    views.push_back({name, formats::Dtype::kF32, {31, 16}, file.data("transformer.wte.weight")});
    formats::write_safetensors_model(folder / "more", views);
    WeightSource(formats::ModelFiles::open(folder / "more"), gpt2).check(nn::list_parameters(gpt));
  }
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
