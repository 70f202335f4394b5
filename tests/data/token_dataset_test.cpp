#include "deepspeed/data/token_dataset.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {
namespace fs = std::filesystem;

class TokenFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("ds_tokens_" + std::to_string(::getpid()));
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  template <class T>
  fs::path write(const char* name, const std::vector<T>& ids) {
    std::ofstream out(folder / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(ids.data()),
              static_cast<std::streamsize>(ids.size() * sizeof(T)));
    return folder / name;
  }
  std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  }
  fs::path folder;
};

TEST_F(TokenFiles, CutsBothWidthsIntoTheSameSamples) {
  const std::vector<uint16_t> narrow = {1, 2, 3, 4, 5, 6, 7};
  const std::vector<uint32_t> wide(narrow.begin(), narrow.end());
  const auto a = std::make_shared<TokenDataset>(map_token_file(write("a.bin", narrow), 2),
                                                SampleOptions{3, 10}),
             b = std::make_shared<TokenDataset>(map_token_file(write("b.bin", wide), 4),
                                                SampleOptions{3, 10});
  ASSERT_EQ(a->size(), 2);
  ASSERT_EQ(b->size(), 2);
  EXPECT_TRUE(at::equal(a->get(1)[0], at::tensor({4, 5, 6}, at::kLong)));
  EXPECT_TRUE(at::equal(b->get(1)[0], a->get(1)[0]));
}

TEST_F(TokenFiles, RefuseShortDataWrongSizesAndForeignIds) {
  const auto path = write("a.bin", std::vector<uint16_t>{1, 2, 3});
  EXPECT_NE(error_of([&] {
              TokenDataset(map_token_file(path, 2), {4, 10});
            }).find("fewer than one sample"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              TokenDataset(map_token_file(path, 4), {2, 10});
            }).find("no whole number"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              TokenDataset(map_token_file(path, 2), {2, 3});
            }).find("token 3 at position 2"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              TokenDataset(map_token_file(folder / "none.bin", 2), {2, 3});
            }).find("none.bin"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              TokenDataset(hold_tokens("empty.txt", {}), {2, 3});
            }).find("empty.txt"),
            std::string::npos);
}

TEST_F(TokenFiles, LoaderStacksAndSeeks) {
  auto data =
      std::make_shared<TokenDataset>(hold_tokens("ids", {0, 1, 2, 3, 4, 5, 6, 7}), SampleOptions{2, 10});
  Loader loader(data, {.micro_batch = 2, .rank = 1, .world_size = 2});
  EXPECT_TRUE(at::equal(loader.next()[0], at::tensor({4, 5, 6, 7}, at::kLong).view({2, 2})));
  loader.seek(1);
  EXPECT_EQ(loader.next()[0].sizes(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(loader.position(), 2);
}

TEST_F(TokenFiles, LargeFilesAreCheckedAsTheyAreRead) {
  std::vector<uint16_t> ids((1 << 24) + 8, 1);
  ids.back() = 99;
  const TokenDataset data(map_token_file(write("large.bin", ids), 2), {4, 10});
  EXPECT_EQ(data.get(0)[0].size(0), 4);
  EXPECT_NE(error_of([&] { data.get(data.size() - 1); }).find("token 99 at position 16777223"),
            std::string::npos);
}

}  // namespace
}  // namespace deepspeed::data
