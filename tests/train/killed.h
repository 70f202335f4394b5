// Two launched ranks of ds_train, of which one is killed: the other is to end within seconds and say why, no
// file of theirs is to stay on the disk, and the last checkpoint is to resume.
#pragma once

#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <iterator>
#include <thread>

#include "deepspeed/base/file.h"
#include "tests/train/folder.h"

namespace deepspeed::testing_support {

/// When rank 1 is killed: as soon as its process is there, between ten and twelve steps, or while a
/// checkpoint is being written after so many.
enum class Moment { kStarting, kTraining, kSaving };

class KilledRun : public TrainingFolder {
 protected:
  struct Killed {
    Finished finished;
    std::chrono::steady_clock::duration until_over;
  };

  /// Trains without end under a configuration whose `zero_optimization` and further keys are these; "{nvme}"
  /// in them is a folder.
  Killed kill_rank_1(Moment moment, std::string zero, const std::string& more) {
    fs::create_directories(folder / "nvme");
    for (size_t at; (at = zero.find("{nvme}")) != std::string::npos;) zero.replace(at, 6, path("nvme"));
    write("ds.json",
          R"({"train_micro_batch_size_per_gpu": 1, "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}},
              "zero_optimization": )" +
              zero + more + "}");
    write("rank.sh", "#!/bin/sh\necho $$ >'" + path("pid") + "'.$RANK\nexec \"$@\"\n");
    fs::permissions(folder / "rank.sh", fs::perms::owner_all);
    auto command = launched(2, {"--steps", "1000000", "-q", "--log-jsonl", path("log.jsonl"), "--save",
                                path("saved"), "--save-every", "4"});
    command.insert(command.begin() + 6, {"--no_local_rank", path("rank.sh")});
    std::chrono::steady_clock::time_point killed;
    std::thread watcher([&] {
      wait_until([&] { return has_come(moment); });
      killed = std::chrono::steady_clock::now();
      ::kill(std::stoi(base::read_text_file(path("pid.1"))), SIGKILL);
    });
    Finished finished = run(command);
    watcher.join();
    return {std::move(finished), std::chrono::steady_clock::now() - killed};
  }

  void expect_a_clean_end(const Killed& killed) const {
    EXPECT_EQ(killed.finished.code, 128 + SIGKILL) << killed.finished.output;
    EXPECT_LT(killed.until_over, std::chrono::seconds(5));
    EXPECT_THAT(killed.finished.output, testing::HasSubstr("rank 1"));
    EXPECT_TRUE(fs::is_empty(folder / "nvme"));
    for (const char* rank : {"pid.0", "pid.1"})
      if (fs::exists(path(rank)))
        EXPECT_FALSE(fs::exists("/proc/" + std::to_string(std::stoi(base::read_text_file(path(rank))))))
            << rank;
  }

  /// Two steps from the last checkpoint on: where the killed run had got as far, they are the same.
  void expect_to_resume() {
    const std::string tag = base::read_text_file(path("saved/latest"));
    const int step = std::stoi(tag.substr(std::string("global_step").size()));
    const Finished resumed = run(launched(2, {"--steps", std::to_string(step + 2), "-q", "--log-jsonl",
                                              path("resumed.jsonl"), "--load", path("saved")}));
    ASSERT_EQ(resumed.code, 0) << resumed.output;
    const auto lines = log_lines(path("resumed.jsonl"));
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0]["step"], step + 1);
    for (const auto& line : log_lines(path("log.jsonl")))
      for (const auto& again : lines)
        if (line["step"] == again["step"]) EXPECT_EQ(line["loss"], again["loss"]) << line["step"];
  }

 private:
  bool has_come(Moment moment) const {
    std::error_code none;
    if (!fs::exists(path("pid.1"), none) || fs::file_size(path("pid.1"), none) == 0) return false;
    if (moment == Moment::kStarting) return true;
    std::ifstream log(path("log.jsonl"));
    if (std::count(std::istreambuf_iterator<char>(log), {}, '\n') < 10) return false;
    if (moment == Moment::kTraining) return true;
    for (const auto& entry : fs::directory_iterator(folder / "saved", none))
      if (entry.path().extension() == ".incomplete") return true;
    return false;
  }
  template <class Condition>
  static void wait_until(const Condition& condition) {
    for (int tries = 0; tries < 60000 && !condition(); ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

}  // namespace deepspeed::testing_support
