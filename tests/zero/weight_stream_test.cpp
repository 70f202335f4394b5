// Bytes of files through a ring of memory, and tensors that live in it.
#include "deepspeed/zero/weight_stream.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "deepspeed/aio/faulty.h"
#include "deepspeed/base/error.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/zero/prepared_file.h"
#include "deepspeed/zero/streamed_tensors.h"
#include "tests/support/error_of.h"

namespace deepspeed::zero {
namespace {

using testing_support::error_of;
namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::byte value(size_t file, size_t at) {
  return static_cast<std::byte>((at * 31 + at / 251 + 7 * file) & 255);
}

class WeightStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder);
    for (size_t f = 0; f < kBytes.size(); ++f) {
      std::ofstream out(path(f), std::ios::binary);
      for (size_t i = 0; i < kBytes[f]; ++i) out.put(static_cast<char>(value(f, i)));
    }
  }
  void TearDown() override { fs::remove_all(folder); }

  static inline const std::vector<size_t> kBytes = {700'001, 300'000};
  fs::path folder = fs::temp_directory_path() / ("ds_weight_stream_" + std::to_string(::getpid()));
  fs::path path(size_t file) const { return folder / ("file" + std::to_string(file)); }
  std::vector<aio::File> files() const {
    return {aio::File::open(path(0), aio::Mode::kRead), aio::File::open(path(1), aio::Mode::kRead)};
  }
  // Six units, each with bytes of both files at odd places.
  static std::vector<StreamedUnit> units() {
    std::vector<StreamedUnit> out;
    for (size_t u = 0; u < 6; ++u)
      out.push_back({"unit " + std::to_string(u),
                     {{0, static_cast<int64_t>(u * 100'000 + 13), 90'000 + 1000 * u},
                      {1, static_cast<int64_t>(u * 40'000), 777}}});
    return out;
  }
  // As little memory as there may be.
  static WeightStreamOptions small() { return {.buffers = 2, .aio = {.block_size = 8192, .queue_depth = 2}}; }
  static void check(WeightStream& stream, size_t unit) {
    const auto places = stream.acquire(unit);
    const StreamedUnit wanted = units()[unit];
    ASSERT_EQ(places.size(), wanted.ranges.size());
    for (size_t r = 0; r < places.size(); ++r)
      for (size_t i = 0; i < wanted.ranges[r].bytes; ++i)
        ASSERT_EQ(places[r][i],
                  value(wanted.ranges[r].file, static_cast<size_t>(wanted.ranges[r].offset) + i))
            << "unit " << unit << ", byte " << i;
    stream.release();
  }
};

TEST_F(WeightStreamTest, EveryUnitHasItsBytesRoundAfterRoundInLittleMemory) {
  WeightStream stream(files(), units(), small());
  EXPECT_LT(stream.memory(), static_cast<size_t>(stream.round_bytes()) / 2);
  for (int round = 0; round < 4; ++round)
    for (size_t u = 0; u < stream.units(); ++u) check(stream, u);
  EXPECT_EQ(stream.surprises(), 0);
  EXPECT_EQ(stream.bytes_used(), 4 * stream.round_bytes());
}

TEST_F(WeightStreamTest, AnotherOrderIsReadAllTheSameAndExpectedNextTime) {
  WeightStream stream(files(), units(), small());
  const std::vector<size_t> order = {0, 3, 1, 5, 2};
  for (int round = 0; round < 3; ++round)
    for (const size_t u : order) check(stream, u);
  EXPECT_EQ(stream.surprises(), 5) << "0-3, 3-1, 1-5, 5-2 and 2-0, once each";
}

TEST_F(WeightStreamTest, AUnitThatNobodyReleasedIsLetGo) {
  WeightStream stream(files(), units(), small());
  stream.acquire(0);
  for (size_t u = 1; u < stream.units(); ++u) check(stream, u);
}

TEST_F(WeightStreamTest, FailuresAreNamedAndOver) {
  auto failing = std::make_shared<bool>(false);
  WeightStreamOptions options = small();
  options.backend = aio::with_faults(
      aio::make_thread_pool, [=](const aio::Transfer&, int64_t) -> std::optional<aio::Fault> {
        return *failing ? std::optional(aio::Fault{.error = EIO}) : std::nullopt;
      });
  WeightStream stream(files(), units(), options);
  check(stream, 0);
  *failing = true;
  EXPECT_THAT(error_of([&] {
                for (size_t u = 1; u < 6; ++u) stream.acquire(u);
              }),
              HasSubstr("Input/output error"));
  *failing = false;
  for (size_t u = 0; u < 6; ++u) check(stream, u);
}

TEST_F(WeightStreamTest, AFileThatChangesIsRefused) {
  EXPECT_THAT(error_of([&] {
                auto wanted = units();
                wanted[2].ranges[0].offset = 650'000;
                WeightStream(files(), wanted, small());
              }),
              HasSubstr("file0 has 700001 bytes and should hold 92000 of unit 2 from 650000 on"));
  WeightStream stream(files(), units(), small());
  check(stream, 0);
  fs::resize_file(path(0), 150'000);
  EXPECT_THAT(error_of([&] {
                for (size_t u = 1; u < 6; ++u) stream.acquire(u);
              }),
              testing::AnyOf(HasSubstr("file0"), HasSubstr("was changed while")));
  WeightStream other(files(), {units()[0]}, small());
  other.acquire(0);
  std::ofstream(path(1), std::ios::binary | std::ios::in | std::ios::out).put('x');
  EXPECT_THAT(
      error_of([&] { other.acquire(0); }),
      HasSubstr("file1 was changed while a model was being read from it (unit 0); load the model again"));
}

TEST_F(WeightStreamTest, ALinearMultipliesByWhatItsFileHolds) {
  const at::NoGradGuard no_grad;
  nn::Linear linear({.in_features = 40, .out_features = 25, .bias = false});
  const at::Tensor weight = at::arange(1000, at::kFloat).view({25, 40}) / 100, x = at::ones({3, 40});
  PreparedFile file(folder, {}, {});
  file.append(at::zeros({5}));
  const int64_t offset = file.append(weight);
  EXPECT_EQ(offset % 4096, 0);
  const at::Tensor parameter = linear.parameters()[0];
  {
    StreamedTensors streamed({file.file()}, {{"linear", &linear, {{parameter, 0, offset}}}}, {});
    EXPECT_FALSE(nn::is_materialized(parameter));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(linear.forward(x), at::linear(x, weight)));
    EXPECT_FALSE(nn::is_materialized(parameter)) << "it has memory only while the Block runs";
    streamed.acquire(0);
    EXPECT_TRUE(at::equal(parameter, weight));
  }
  EXPECT_FALSE(nn::is_materialized(parameter));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 2)
      << "no file of its own";
}

}  // namespace
}  // namespace deepspeed::zero
