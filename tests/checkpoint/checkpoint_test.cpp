#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/checkpoint/reader.h"
#include "deepspeed/checkpoint/writer.h"
#include "deepspeed/comm/ranks.h"

namespace deepspeed::checkpoint {
namespace {
namespace fs = std::filesystem;

class Checkpoints : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("ds_ckpt_" + std::to_string(::getpid()));
    fs::remove_all(folder);
  }
  void TearDown() override {
    base::set_write_fault(nullptr);
    fs::remove_all(folder);
  }
  static std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const base::Error& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder;
};

// Parameter "w" of 10 elements cut unevenly over the ranks; `value` tells checkpoints apart.
RankPart part_of(int rank, int world, float value) {
  RankPart part;
  const int64_t cut = world == 1 ? 10 : 4;
  const int64_t begin = rank == 0 ? 0 : cut, end = rank == 0 ? cut : 10;
  part.pieces.push_back(
      {"w",
       begin,
       {{"fp32", at::arange(begin, end, at::kFloat) + value}, {"exp_avg", at::full({end - begin}, value)}}});
  if (rank == 0) part.whole["running_mean"] = at::full({2, 2}, value);
  return part;
}

void save_all(const fs::path& folder, const std::string& tag, int world, float value) {
  comm::run_ranks(world, [&](comm::GroupPtr group) {
    save({.folder = folder, .tag = tag}, part_of(group->rank(), world, value), {{"value", value}}, *group);
  });
}

TEST_F(Checkpoints, GiveBackAnyRunAcrossRankBoundaries) {
  save_all(folder, "step1", 2, 100);
  EXPECT_EQ(latest_tag(folder), "step1");
  const Reader reader(folder, "step1");
  at::Tensor out = at::empty({5});
  reader.read("fp32", "w", 2, out);
  EXPECT_TRUE(at::equal(out, at::arange(2, 7, at::kFloat) + 100));
  at::Tensor mean = at::empty({2, 2});
  EXPECT_TRUE(reader.read_whole("running_mean", mean));
  EXPECT_FALSE(reader.read_whole("nothing", mean));
  EXPECT_EQ(reader.state()["value"], 100.0);
  EXPECT_TRUE(reader.has_state("exp_avg", "w"));
  EXPECT_FALSE(reader.has_state("exp_avg_sq", "w"));
  EXPECT_NE(error_of([&] { reader.read("fp32", "w", 8, out); }).find("lacks elements 10 to 13"),
            std::string::npos);
  EXPECT_NE(error_of([&] { reader.read("fp32", "v", 0, out); }).find("'v'"), std::string::npos);
}

TEST_F(Checkpoints, ReplaceAnEarlierOneOfTheSameTagWhole) {
  save_all(folder, "step1", 2, 1);
  save_all(folder, "step1", 1, 2);
  const Reader reader(folder, "step1");
  at::Tensor out = at::empty({10});
  reader.read("fp32", "w", 0, out);
  EXPECT_EQ(out[9].item<float>(), 11.0f);
  EXPECT_FALSE(fs::exists(folder / "step1" / rank_file_name(1)));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}),
            2);  // step1 and latest: nothing temporary stays
}

// Each write or fsync of the second save fails in turn, on whichever rank it happens to be.
TEST_F(Checkpoints, LeaveThePreviousOneLoadableWhenAnyWriteFails) {
  save_all(folder, "old", 2, 1);
  bool saved = false;
  int failures = 0;
  for (int k = 0; !saved && k < 100; ++k) {
    std::atomic<int> calls{0};
    base::set_write_fault([&] { return calls++ == k ? ENOSPC : 0; });
    const std::string error = error_of([&] { save_all(folder, "new", 2, 2); });
    base::set_write_fault(nullptr);
    saved = error.empty();
    if (saved) break;
    ++failures;
    EXPECT_NE(error.find("No space left"), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos);
    EXPECT_EQ(latest_tag(folder), "old");
    const Reader reader(folder, "old");
    at::Tensor out = at::empty({10});
    reader.read("fp32", "w", 0, out);
    EXPECT_EQ(out[0].item<float>(), 1.0f);
    EXPECT_FALSE(fs::exists(folder / "new.incomplete"));
  }
  EXPECT_TRUE(saved);
  EXPECT_GT(failures, 8);  // two rank files, state.json and latest, each created, written and synced
  EXPECT_EQ(latest_tag(folder), "new");
}

TEST_F(Checkpoints, DifferentTagsWarnOrFail) {
  EXPECT_NE(error_of([&] {
              comm::run_ranks(2, [&](comm::GroupPtr group) {
                save({.folder = folder,
                      .tag = "t" + std::to_string(group->rank()),
                      .tag_validation = TagValidation::kFail},
                     part_of(group->rank(), 2, 1), {}, *group);
              });
            }).find("different checkpoint tags"),
            std::string::npos);
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    save({.folder = folder, .tag = "t" + std::to_string(group->rank())}, part_of(group->rank(), 2, 1), {},
         *group);
  });
  EXPECT_EQ(latest_tag(folder), "t0");
}

TEST_F(Checkpoints, RefuseTagsThatAreNotPlainNames) {
  for (const char* tag : {"", ".", "..", "a/b", "latest", "a\nb"})
    EXPECT_NE(error_of([&] { save_all(folder, tag, 1, 1); }).find("checkpoint tag"), std::string::npos)
        << tag;
}

TEST_F(Checkpoints, DamageIsAnErrorThatNamesTheFile) {
  save_all(folder, "s", 2, 1);
  const fs::path shard = folder / "s" / rank_file_name(1);
  const auto size = fs::file_size(shard);
  fs::resize_file(shard, size - 3);
  EXPECT_NE(error_of([&] { Reader(folder, "s"); }).find(rank_file_name(1)), std::string::npos);
  fs::remove(shard);
  EXPECT_NE(error_of([&] { Reader(folder, "s"); }).find(rank_file_name(1)), std::string::npos);
  std::ofstream(folder / "s" / "state.json") << "{";
  EXPECT_NE(error_of([&] { Reader(folder, "s"); }).find("state.json"), std::string::npos);
  EXPECT_NE(error_of([&] { Reader(folder, "absent"); }).find("absent"), std::string::npos);
  std::ofstream(folder / "latest") << "../../etc";
  EXPECT_NE(error_of([&] { latest_tag(folder); }).find("tag"), std::string::npos);
}

}  // namespace
}  // namespace deepspeed::checkpoint
