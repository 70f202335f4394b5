#include "deepspeed/formats/safetensors_model.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <set>

#include "images.h"

namespace deepspeed::formats {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kModels = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens/models";

struct ModelFolder : ::testing::Test {
  ~ModelFolder() override { base::set_write_fault(nullptr); }

  std::set<std::string> listing() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path()))
      names.insert(entry.path().filename().string());
    return names;
  }
  // Three tensors of 16 bytes, filled with `value`.
  void write(float value, size_t max_shard_bytes) {
    values.assign(4, value);
    std::vector<TensorView> views;
    for (const char* name : {"c", "a", "b"}) views.push_back({name, Dtype::kF32, {4}, bytes_of(values)});
    write_safetensors_model(folder.path(), views, max_shard_bytes);
  }
  float first_value(const char* name) const {
    float value;
    std::memcpy(&value, SafetensorsModel::open(folder.path()).data(name).data(), sizeof value);
    return value;
  }
  std::string error_of_index(std::string_view text) {
    spill(folder.path() / "model.safetensors.index.json", text);
    return error_of([&] { SafetensorsModel::open(folder.path()); });
  }

  TemporaryFolder folder;
  std::vector<float> values;
};

TEST_F(ModelFolder, WhatFitsIsOneFile) {
  write(1, 48);
  EXPECT_THAT(listing(), ElementsAre("model.safetensors"));
  auto model = SafetensorsModel::open(folder.path());
  EXPECT_THAT(model.names(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(model.metadata().at("format"), "pt");
  EXPECT_TRUE(model.contains("a"));
  EXPECT_FALSE(model.contains("d"));
  EXPECT_THAT(error_of([&] { model.info("d"); }), AllOf(HasSubstr("'d'"), HasSubstr(folder.path().string())));
}

TEST_F(ModelFolder, WhatDoesNotFitIsShardedInTheGivenOrderWithAnIndex) {
  write(1, 47);
  EXPECT_THAT(listing(), ElementsAre("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                     "model.safetensors.index.json"));
  auto model = SafetensorsModel::open(folder.path());
  EXPECT_THAT(model.names(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(model.file_of("c").filename(), "model-00001-of-00002.safetensors");
  EXPECT_EQ(model.file_of("a").filename(), "model-00001-of-00002.safetensors");
  EXPECT_EQ(model.file_of("b").filename(), "model-00002-of-00002.safetensors");
  EXPECT_THAT(slurp(folder.path() / "model.safetensors.index.json"), HasSubstr("\"total_size\": 48"));
}

TEST_F(ModelFolder, TensorsThatAreGivenAsTheyAreWrittenFillTheSameShards) {
  std::vector<TensorView> views;
  int read = 0;
  for (const char* name : {"c", "a", "b"})
    views.push_back({name, Dtype::kF32, {4}, {}, [&](std::span<std::byte> out) {
                       ++read;
                       const std::vector<float> ones(4, 1);
                       std::memcpy(out.data(), ones.data(), out.size());
                     }});
  write_safetensors_model(folder.path(), views, 47);
  EXPECT_EQ(read, 3);
  EXPECT_EQ(listing().size(), 3u);
  EXPECT_THAT(slurp(folder.path() / "model.safetensors.index.json"), HasSubstr("\"total_size\": 48"));
  EXPECT_EQ(first_value("b"), 1);
}

TEST_F(ModelFolder, ATensorLargerThanAShardHasAShardOfItsOwn) {
  write(1, 1);
  EXPECT_EQ(listing().size(), 4u);
  EXPECT_EQ(SafetensorsModel::open(folder.path()).names().size(), 3u);
}

TEST_F(ModelFolder, AFileOrAnIndexCanBeGivenInsteadOfAFolder) {
  write(3, 16);
  EXPECT_EQ(SafetensorsModel::open(folder.path() / "model.safetensors.index.json").names().size(), 3u);
  EXPECT_THAT(SafetensorsModel::open(folder.path() / "model-00002-of-00003.safetensors").names(),
              ElementsAre("a"));
}

TEST_F(ModelFolder, AnotherModelLeavesNothingOfThePreviousOne) {
  write(1, 16);
  write(2, 48);
  EXPECT_THAT(listing(), ElementsAre("model.safetensors"));
  EXPECT_EQ(first_value("a"), 2);
  spill(folder.path() / "config.json", "{}");
  write(3, 32);
  EXPECT_EQ(first_value("a"), 3);
  EXPECT_FALSE(fs::exists(folder.path() / "model.safetensors"));
  EXPECT_TRUE(fs::exists(folder.path() / "config.json"));
}

TEST_F(ModelFolder, ADiskThatFillsUpAtAnyWriteLeavesThePreviousModel) {
  for (size_t shard_bytes : {16, 48}) {
    write(1, 16);
    const auto before = listing();
    int failed = 0;
    for (int fail_at = 0;; ++fail_at) {
      base::set_write_fault([fail_at, call = 0]() mutable { return call++ == fail_at ? ENOSPC : 0; });
      std::string error = error_of([&] { write(2, shard_bytes); });
      base::set_write_fault(nullptr);
      if (error == "no error") break;
      ++failed;
      ASSERT_EQ(listing(), before);
      for (const char* name : {"a", "b", "c"}) ASSERT_EQ(first_value(name), 1) << "failed write " << fail_at;
    }
    EXPECT_GE(failed, shard_bytes == 16 ? 18 : 6);
    for (const char* name : {"a", "b", "c"}) EXPECT_EQ(first_value(name), 2);
  }
}

TEST_F(ModelFolder, ATensorGivenTwiceIsRefusedEvenAcrossShards) {
  values.assign(4, 1);
  TensorView view{"a", Dtype::kF32, {4}, bytes_of(values)};
  EXPECT_THAT(error_of([&] {
                write_safetensors_model(folder.path(), {view, view}, 16);
              }),
              HasSubstr("given twice"));
  EXPECT_TRUE(listing().empty());
}

TEST_F(ModelFolder, WithoutWeightsTheErrorSaysWhatWasLookedFor) {
  EXPECT_FALSE(SafetensorsModel::present(folder.path()));
  EXPECT_THAT(error_of([&] { SafetensorsModel::open(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("model.safetensors.index.json")));
  EXPECT_THAT(error_of([&] { SafetensorsModel::open(folder.path() / "none"); }), HasSubstr("does not exist"));
}

TEST_F(ModelFolder, AnIndexMustNameFilesAndTensorsThatExist) {
  write(1, 48);
  fs::rename(folder.path() / "model.safetensors", folder.path() / "s.safetensors");
  EXPECT_EQ(error_of_index(R"({"weight_map":{"a":"s.safetensors"}})"), "no error");
  EXPECT_THAT(error_of_index(R"({"weight_map":{"a":"t.safetensors"}})"),
              AllOf(HasSubstr("index.json"), HasSubstr("'t.safetensors', which does not exist")));
  EXPECT_THAT(error_of_index(R"({"weight_map":{"z":"s.safetensors"}})"),
              AllOf(HasSubstr("'z'"), HasSubstr("'s.safetensors', which does not hold it")));
}

TEST_F(ModelFolder, AnIndexCannotReachOutsideItsFolder) {
  for (const char* shard :
       {"../model.safetensors", "/etc/passwd", "a/../../b", "..", "", "sub/", "a\\u0000b"}) {
    const std::string error = error_of_index(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", shard));
    EXPECT_THAT(error, HasSubstr("outside the folder")) << shard;
  }
  EXPECT_THAT(error_of_index(R"({"weight_map":{"a":"."}})"), HasSubstr("directory"));
}

TEST_F(ModelFolder, AMalformedIndexIsAnErrorThatNamesIt) {
  for (const char* text :
       {"", "{", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", R"({"weight_map":{"a":1}})",
        R"({"weight_map":{"a":"s","a":"s"}})", "{\"weight_map\":{\"\xff\":\"s\"}}"})
    EXPECT_THAT(error_of_index(text), HasSubstr("model.safetensors.index.json")) << text;
}

TEST(ParityModels, FoldersThatTransformersSavedOpenWholeAndSharded) {
  auto sharded = SafetensorsModel::open(kModels / "llama-sharp");
  auto single = SafetensorsModel::open(kModels / "llama");
  EXPECT_EQ(sharded.names(), single.names());
  EXPECT_NE(sharded.file_of("model.embed_tokens.weight"), sharded.file_of("model.norm.weight"));
  EXPECT_EQ(sharded.info("model.embed_tokens.weight").shape, (std::vector<int64_t>{259, 64}));
}

}  // namespace
}  // namespace deepspeed::formats
