#include <gmock/gmock.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

#include "deepspeed/formats/safetensors.h"
#include "images.h"

namespace deepspeed::formats {
namespace {

using ::testing::HasSubstr;

const std::filesystem::path kGoldens = std::filesystem::path(DS_SOURCE_DIR) / "tests/formats/goldens";

struct NoFaultsAfterwards : ::testing::Test {
  ~NoFaultsAfterwards() override { base::set_write_fault(nullptr); }
  TemporaryFolder folder;
};
using WriteSafetensors = NoFaultsAfterwards;

TEST_F(WriteSafetensors, GivesTheVeryBytesOfTheReferenceWriter) {
  for (const char* name : {"every_dtype.safetensors", "no_tensors.safetensors"}) {
    SafetensorsFile golden(kGoldens / name);
    std::vector<TensorView> views;
    for (const TensorInfo& info : golden.tensors())
      views.insert(views.begin(), {info.name, info.dtype, info.shape, golden.data(info)});
    write_safetensors(folder.path() / name, views, golden.metadata());
    EXPECT_EQ(slurp(folder.path() / name), slurp(kGoldens / name)) << name;
  }
}

TEST_F(WriteSafetensors, TakesTensorsThatAreReadAsTheyAreWritten) {
  SafetensorsFile golden(kGoldens / "every_dtype.safetensors");
  std::vector<TensorView> views;
  for (const TensorInfo& info : golden.tensors()) {
    views.push_back({.name = info.name, .dtype = info.dtype, .shape = info.shape, .data = {}});
    views.back().read = [bytes = golden.data(info)](std::span<std::byte> out) {
      ASSERT_EQ(out.size(), bytes.size());
      std::copy(bytes.begin(), bytes.end(), out.begin());
    };
  }
  write_safetensors(folder.path() / "a.safetensors", views, golden.metadata());
  EXPECT_EQ(slurp(folder.path() / "a.safetensors"), slurp(kGoldens / "every_dtype.safetensors"));
}

TEST_F(WriteSafetensors, TheDataSectionStartsAtAMultipleOfEightForEveryNameLength) {
  const std::vector<float> one = {1};
  for (size_t length = 1; length < 20; ++length) {
    const auto path = folder.path() / "a.safetensors";
    write_safetensors(path, {{std::string(length, 'n'), Dtype::kF32, {1}, bytes_of(one)}});
    EXPECT_EQ((slurp(path).size() - 4) % 8, 0u);
    EXPECT_EQ(SafetensorsFile(path).tensors().front().name.size(), length);
  }
}

TEST_F(WriteSafetensors, RefusesWhatCouldNotBeReadBack) {
  const std::vector<float> two = {1, 2};
  const auto path = folder.path() / "a.safetensors";
  auto error = [&](std::vector<TensorView> views) {
    return error_of([&] { write_safetensors(path, views); });
  };
  EXPECT_THAT(error({{"a", Dtype::kF32, {3}, bytes_of(two)}}), HasSubstr("does not match its 8 bytes"));
  EXPECT_THAT(error({{"a", Dtype::kF32, {-2}, bytes_of(two)}}), HasSubstr("does not match"));
  EXPECT_THAT(error({{"a", Dtype::kF32, {1LL << 62, 16}, {}}}), HasSubstr("does not match"));
  EXPECT_THAT(error({{"a", Dtype::kF32, {2}, bytes_of(two)}, {"a", Dtype::kF32, {2}, bytes_of(two)}}),
              HasSubstr("'a' is given twice"));
  EXPECT_THAT(error({{"__metadata__", Dtype::kF32, {2}, bytes_of(two)}}), HasSubstr("cannot be named"));
  EXPECT_THAT(error({{"\xff", Dtype::kF32, {2}, bytes_of(two)}}), HasSubstr("UTF-8"));
  EXPECT_THAT(error({{"a", Dtype::kF32, std::vector<int64_t>(65, 1), {}}}), HasSubstr("dimensions"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST_F(WriteSafetensors, ADiskThatFillsUpAtAnyWriteLeavesTheOldFile) {
  const auto path = folder.path() / "a.safetensors";
  std::vector<float> old_values = {1, 2, 3}, new_values(1000);
  std::iota(new_values.begin(), new_values.end(), 0.f);
  write_safetensors(path, {{"old", Dtype::kF32, {3}, bytes_of(old_values)}});
  const std::string before = slurp(path);
  int failed = 0;
  for (int fail_at = 0;; ++fail_at) {
    base::set_write_fault([fail_at, call = 0]() mutable { return call++ == fail_at ? ENOSPC : 0; });
    std::string error = error_of([&] {
      write_safetensors(path, {{"x", Dtype::kF32, {1000}, bytes_of(new_values)},
                               {"y", Dtype::kF32, {3}, bytes_of(old_values)}});
    });
    if (error == "no error") break;
    ++failed;
    EXPECT_THAT(error, HasSubstr("No space left on device"));
    EXPECT_EQ(slurp(path), before);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
        << "a temporary file stayed";
  }
  EXPECT_GE(failed, 5);  // opening, length, header, two tensors, fsync
  EXPECT_EQ(SafetensorsFile(path).tensors().size(), 2u);
}

TEST_F(WriteSafetensors, AFolderThatDoesNotExistIsAnErrorThatNamesIt) {
  EXPECT_THAT(error_of([] { write_safetensors("/nowhere/a.safetensors", {}); }),
              HasSubstr("/nowhere/a.safetensors"));
}

}  // namespace
}  // namespace deepspeed::formats
