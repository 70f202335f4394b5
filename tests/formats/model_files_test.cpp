#include "deepspeed/formats/model_files.h"

#include <gmock/gmock.h>

#include "deepspeed/base/env.h"
#include "images.h"

namespace deepspeed::formats {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/formats/goldens";
const fs::path kSharded = kGoldens / "torch/sharded";
const fs::path kModels = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens/models";

std::vector<float> floats(const ModelFiles& model, std::string_view name) {
  const MappedTensor& tensor = model.tensor(name);
  std::vector<float> values(tensor.elements());
  read_floats(tensor, 0, values.size(), values.data());
  return values;
}
std::string error_of_open(const fs::path& path) {
  return error_of([&] { ModelFiles::open(path); });
}

struct ModelFilesIn : ::testing::Test {
  void copy(const fs::path& from, const std::string& name) { fs::copy_file(from, folder.path() / name); }
  TemporaryFolder folder;
};

TEST(TorchModel, ShardsAreOpenedByTheirIndex) {
  const TorchModel model = TorchModel::open(kSharded);
  EXPECT_THAT(model.names(), ElementsAre("a", "b"));
  EXPECT_EQ(model.tensor("b").dtype(), Dtype::kBF16);
  EXPECT_EQ(model.file_of("b").filename(), "pytorch_model-00002-of-00002.bin");
  EXPECT_FALSE(model.contains("unused"));
  EXPECT_THAT(error_of([&] { model.tensor("c"); }), AllOf(HasSubstr("'c'"), HasSubstr("sharded")));
  EXPECT_THAT(TorchModel::open(kSharded / "pytorch_model-00002-of-00002.bin").names(),
              ElementsAre("b", "unused"));
}

TEST_F(ModelFilesIn, AnIndexOfPyTorchFilesMustNameFilesAndTensorsThatExist) {
  copy(kSharded / "pytorch_model-00001-of-00002.bin", "s.bin");
  auto error = [&](const char* index) {
    spill(folder.path() / "pytorch_model.bin.index.json", index);
    return error_of_open(folder.path());
  };
  EXPECT_EQ(error(R"({"weight_map":{"a":"s.bin"}})"), "no error");
  EXPECT_THAT(error(R"({"weight_map":{"a":"t.bin"}})"), HasSubstr("'t.bin', which does not exist"));
  EXPECT_THAT(error(R"({"weight_map":{"z":"s.bin"}})"), HasSubstr("'s.bin', which does not hold it"));
  EXPECT_THAT(error(R"({"weight_map":{"a":"../s.bin"}})"), HasSubstr("outside the folder"));
  EXPECT_THAT(error("{"), HasSubstr("not valid JSON"));
}

TEST_F(ModelFilesIn, EveryFormatIsFoundInItsFolder) {
  copy(kGoldens / "gguf/every.gguf", "model.Q4_K.gguf");
  EXPECT_TRUE(ModelFiles::present(folder.path()));
  ModelFiles gguf = ModelFiles::open(folder.path());
  EXPECT_EQ(gguf.format(), ModelFormat::kGguf);
  EXPECT_EQ(gguf.gguf_metadata()->text("general.architecture"), "llama");
  EXPECT_EQ(floats(gguf, "Q6_K"), floats(gguf, "Q6_K.floats"));
  copy(kGoldens / "torch/views.bin", "pytorch_model.bin");
  const ModelFiles torch = ModelFiles::open(folder.path());
  EXPECT_EQ(torch.format(), ModelFormat::kTorch);
  EXPECT_EQ(torch.gguf_metadata(), nullptr);
  EXPECT_THAT(floats(torch, "column"), ElementsAre(1, 7, 13, 19));
  copy(kGoldens / "every_dtype.safetensors", "model.safetensors");
  const ModelFiles safetensors = ModelFiles::open(folder.path());
  EXPECT_EQ(safetensors.format(), ModelFormat::kSafetensors);
  EXPECT_THAT(floats(safetensors, "f16"), ElementsAre(0, 1, 2, 3, 4, 5));
  // Tensors stay where they are when the object moves.
  const ModelFiles moved = std::move(gguf);
  EXPECT_EQ(floats(moved, "cube")[7], 7);
}

TEST_F(ModelFilesIn, AFileIsOpenedByItsContentsWhateverItsName) {
  copy(kGoldens / "gguf/every.gguf", "a");
  copy(kGoldens / "torch/views_legacy.bin", "b.safetensors.bak");
  copy(kGoldens / "every_dtype.safetensors", "c.bin");
  EXPECT_EQ(ModelFiles::open(folder.path() / "a").format(), ModelFormat::kGguf);
  EXPECT_EQ(ModelFiles::open(folder.path() / "b.safetensors.bak").format(), ModelFormat::kTorch);
  EXPECT_EQ(ModelFiles::open(folder.path() / "c.bin").format(), ModelFormat::kSafetensors);
  EXPECT_EQ(ModelFiles::open(kSharded / "pytorch_model.bin.index.json").names().size(), 2u);
  EXPECT_EQ(ModelFiles::open(kModels / "llama-sharp/model.safetensors.index.json").format(),
            ModelFormat::kSafetensors);
  for (const char* text : {"", "x", "PK\3", "hello, this is no model at all"}) {
    spill(folder.path() / "d.bin", text);
    EXPECT_THAT(error_of_open(folder.path() / "d.bin"),
                AllOf(HasSubstr("d.bin' holds no model weights"), HasSubstr("GGUF")));
  }
}

TEST_F(ModelFilesIn, ShardedSafetensorsAreOneModel) {
  const ModelFiles sharded = ModelFiles::open(kModels / "llama-sharp"),
                   single = ModelFiles::open(kModels / "llama");
  EXPECT_EQ(sharded.names(), single.names());
  EXPECT_NE(sharded.file_of("model.embed_tokens.weight"), sharded.file_of("model.norm.weight"));
  EXPECT_EQ(sharded.tensor("model.embed_tokens.weight").shape, (std::vector<int64_t>{259, 64}));
}

TEST_F(ModelFilesIn, TheGgufPartsOfOneModelCountAsOne) {
  for (int part = 1; part <= 3; ++part) {
    const std::string name = fmt::format("parts-{:05}-of-00003.gguf", part);
    copy(kGoldens / "gguf" / name, name);
  }
  EXPECT_EQ(ModelFiles::open(folder.path()).names().size(), 5u);
  copy(kGoldens / "gguf/every.gguf", "other.gguf");
  EXPECT_FALSE(ModelFiles::present(folder.path()));
  EXPECT_THAT(error_of_open(folder.path()),
              HasSubstr("several models: name one of other.gguf, parts-00001-of-00003.gguf"));
}

TEST_F(ModelFilesIn, WithoutWeightsTheErrorSaysWhatWasLookedFor) {
  EXPECT_FALSE(ModelFiles::present(folder.path()));
  EXPECT_THAT(error_of_open(folder.path()),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("model.safetensors"),
                    HasSubstr("pytorch_model.bin"), HasSubstr(".gguf")));
  EXPECT_THAT(error_of_open(folder.path() / "none"), HasSubstr("does not exist"));
  EXPECT_THAT(error_of([] { ModelFiles::open(kSharded).tensor("z"); }), HasSubstr("has no tensor 'z'"));
}

TEST_F(ModelFilesIn, AModelIsFoundByPathOrByNameInTheCache) {
  const std::string commit(40, '1');
  const fs::path model = folder.path() / "hub/models--org--tiny";
  fs::create_directories(model / "refs");
  fs::create_directories(model / "snapshots" / commit);
  spill(model / "refs/main", commit);
  fs::create_symlink(kGoldens / "every_dtype.safetensors",
                     model / "snapshots" / commit / "model.safetensors");
  const std::string before = base::env("HF_HUB_CACHE").value_or("");
  base::set_env("HF_HUB_CACHE", (folder.path() / "hub").string());
  EXPECT_EQ(find_model("org/tiny"), model / "snapshots" / commit);
  EXPECT_EQ(find_model("org/tiny@" + commit), model / "snapshots" / commit);
  EXPECT_EQ(ModelFiles::open(find_model("org/tiny")).names().size(), 16u);
  EXPECT_EQ(find_model(folder.path().string()), folder.path());
  EXPECT_THAT(error_of([] { find_model("org/none"); }),
              AllOf(HasSubstr("no model 'org/none': there is no such folder or file, and"),
                    HasSubstr("models--org--none")));
  EXPECT_THAT(error_of([] { find_model("org/tiny@v9"); }), HasSubstr("no revision 'v9'"));
  EXPECT_THAT(error_of([] { find_model("/no/such/folder"); }), HasSubstr("there is no such folder or file"));
  EXPECT_THAT(error_of([] { find_model(""); }), HasSubstr("empty"));
  base::set_env("HF_HUB_CACHE", before);
}

}  // namespace
}  // namespace deepspeed::formats
