// Parts of sharded parameters in a file.
#include <gmock/gmock.h>
#include <unistd.h>

#include "deepspeed/aio/faulty.h"
#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"
#include "deepspeed/zero/parameter_shards.h"

namespace deepspeed::zero {
namespace {

namespace fs = std::filesystem;

const std::vector<std::vector<int64_t>> kShapes = {{3, 5}, {7}, {4, 2}, {0}, {1, 30}};

at::Tensor value(size_t param) {
  return at::arange(c10::multiply_integers(kShapes[param]), at::kFloat).view(kShapes[param]) +
         100.0 * static_cast<double>(param);
}

std::vector<NamedParameter> parameters() {
  std::vector<NamedParameter> list;
  for (size_t p = 0; p < kShapes.size(); ++p)
    list.push_back({"p" + std::to_string(p), value(p).requires_grad_(true)});
  return list;
}

void fill(size_t param, int64_t begin, at::Tensor slice) {
  slice.copy_(value(param).view({-1}).narrow(0, begin, slice.numel()));
}

struct Folder {
  ~Folder() { fs::remove_all(folder); }
  ParameterShards::Options options(int64_t max_in_memory, int64_t persistence = 0) const {
    return {.persistence_threshold = persistence,
            .file = PartFileOptions{.folder = folder, .max_in_memory = max_in_memory, .reads_ahead = 2}};
  }
  // On a disk whose transfers in that direction fail while *failing.
  ParameterShards::Options faulty_options(const std::shared_ptr<bool>& failing, aio::Direction direction,
                                          int error) const {
    ParameterShards::Options broken = options(0);
    broken.file->backend = aio::with_faults(
        aio::make_thread_pool, [=](const aio::Transfer& transfer, int64_t) -> std::optional<aio::Fault> {
          if (!*failing || transfer.direction != direction) return std::nullopt;
          return aio::Fault{.error = error};
        });
    return broken;
  }
  fs::path folder = fs::temp_directory_path() / ("ds_stored_shards_" + std::to_string(::getpid()));
};
class StoredShards : public testing::TestWithParam<int>, public Folder {};
class StoredShardsAlone : public testing::Test, public Folder {};
INSTANTIATE_TEST_SUITE_P(Worlds, StoredShards, testing::Values(1, 2, 3));

TEST_P(StoredShards, AreGatheredFromTheFileReadAheadOrNot) {
  comm::run_ranks(GetParam(), [&](comm::GroupPtr group) {
    const auto named = parameters();
    ParameterShards shards(named, fill, group, options(/*max_in_memory=*/0));
    EXPECT_EQ(shards.shard().numel(), 0);
    for (int round = 0; round < 2; ++round)
      for (size_t p = 0; p < named.size(); ++p) {
        for (size_t next = p; next < named.size(); ++next) shards.read_ahead(next);
        shards.start(p);
        shards.finish(p);
        EXPECT_TRUE(at::equal(named[p].tensor.detach(), value(p))) << p;
        shards.release(p);
        if (named[p].tensor.numel() > 0) EXPECT_EQ(named[p].tensor.storage().nbytes(), 0u);
      }
    shards.refresh();  // what was read ahead is forgotten
    EXPECT_EQ(shards.pool().bytes_in_use(), 0);
    EXPECT_TRUE(fs::is_empty(folder));
  });
}

TEST_P(StoredShards, StayInMemoryAsFarAsTheyMay) {
  comm::run_ranks(GetParam(), [&](comm::GroupPtr group) {
    const auto named = parameters();
    const ParameterShards all(named, fill, group, options(1000)),
        first(parameters(), fill, group, options(15));
    EXPECT_EQ(all.shard().numel(), all.layout().shard_numel());
    EXPECT_LE(first.shard().numel(), 15);
    EXPECT_GT(first.shard().numel(), 0);
    EXPECT_EQ(first.read(0, 1).item<float>(), first.shard()[0].item<float>());
  });
}

TEST_P(StoredShards, PersistentOnesFollowWhatIsWritten) {
  comm::run_ranks(GetParam(), [&](comm::GroupPtr group) {
    const auto named = parameters();
    ParameterShards shards(named, fill, group, options(0, /*persistence=*/8));
    EXPECT_TRUE(shards.is_persistent(1));
    EXPECT_TRUE(at::equal(named[1].tensor.detach(), value(1)));
    for (size_t p = 0; p < named.size(); ++p) {
      shards.read_ahead(p);  // must not survive the change
      const int64_t count = shards.layout().part_numel(p), begin = shards.layout().part_offset(p);
      if (count > 0) shards.write(begin, shards.read(begin, count) + 1);
    }
    shards.refresh();
    EXPECT_TRUE(at::equal(named[1].tensor.detach(), value(1) + 1));
    shards.start(4);
    shards.finish(4);
    EXPECT_TRUE(at::equal(named[4].tensor.detach(), value(4) + 1));
  });
}

TEST_F(StoredShardsAlone, NameTheFileOfADiskThatFails) {
  const auto named = parameters();
  auto failing = std::make_shared<bool>(false);
  ParameterShards shards(named, fill, comm::single_group(),
                         faulty_options(failing, aio::Direction::kRead, EIO));
  *failing = true;
  try {
    shards.start(0);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(folder.string()));
    EXPECT_THAT(error.what(), testing::HasSubstr("Input/output error"));
  }
}

TEST_F(StoredShardsAlone, SayThatAWriteFailedOnceItIsWaitedFor) {
  const auto named = parameters();
  auto failing = std::make_shared<bool>(false);
  ParameterShards shards(named, fill, comm::single_group(),
                         faulty_options(failing, aio::Direction::kWrite, ENOSPC));
  shards.write(0, at::ones({5}));
  shards.finish_writes();
  *failing = true;
  shards.write(0, at::zeros({5}));
  EXPECT_THROW(shards.finish_writes(), base::Error);
  *failing = false;
  shards.write(0, at::zeros({5}));  // a later try succeeds
  shards.finish_writes();
  EXPECT_TRUE(at::equal(shards.read(0, 5), at::zeros({5})));
}

}  // namespace
}  // namespace deepspeed::zero
