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
  const auto a = TokenDataset::from_bin(write("a.bin", narrow), 2, {3, 10}),
             b = TokenDataset::from_bin(write("b.bin", wide), 4, {3, 10});
  ASSERT_EQ(a->size(), 2);
  ASSERT_EQ(b->size(), 2);
  EXPECT_TRUE(at::equal(a->get(1)[0], at::tensor({4, 5, 6}, at::kLong)));
  EXPECT_TRUE(at::equal(b->get(1)[0], a->get(1)[0]));
}

TEST_F(TokenFiles, RefuseShortDataWrongSizesAndForeignIds) {
  const auto path = write("a.bin", std::vector<uint16_t>{1, 2, 3});
  EXPECT_NE(error_of([&] {
              TokenDataset::from_bin(path, 2, {4, 10});
            }).find("fewer than one sample"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              TokenDataset::from_bin(path, 4, {2, 10});
            }).find("no whole number"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              TokenDataset::from_bin(path, 2, {2, 3});
            }).find("token 3 at position 2"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              TokenDataset::from_bin(folder / "none.bin", 2, {2, 3});
            }).find("none.bin"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              TokenDataset::from_ids({}, "empty.txt", {2, 3});
            }).find("empty.txt"),
            std::string::npos);
}

TEST_F(TokenFiles, LoaderStacksAndSeeks) {
  auto data = TokenDataset::from_ids({0, 1, 2, 3, 4, 5, 6, 7}, "ids", {2, 10});
  Loader loader(data, {.micro_batch = 2, .rank = 1, .world_size = 2});
  EXPECT_TRUE(at::equal(loader.next()[0], at::tensor({4, 5, 6, 7}, at::kLong).view({2, 2})));
  loader.seek(1);
  EXPECT_EQ(loader.next()[0].sizes(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(loader.position(), 2);
}

}  // namespace
}  // namespace deepspeed::data
