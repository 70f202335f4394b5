#include <gmock/gmock.h>

#include <thread>

#include "deepspeed/observe/step_timers.h"
#include "deepspeed/observe/throughput.h"

namespace deepspeed::observe {
namespace {

using testing::MatchesRegex;

void pass(StepTimers& timers, Phase phase) {
  const PhaseTimer timed(&timers, phase);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

TEST(StepTimers, NameOnlyPhasesThatRanAndStartAnewWithEachLine) {
  StepTimers timers;
  pass(timers, Phase::kForward);
  pass(timers, Phase::kStep);
  EXPECT_THAT(
      timers.take_micro_line(),
      MatchesRegex(
          R"(time \(ms\) \| fwd_microstep: [0-9]+\.[0-9][0-9] \| step_microstep: [0-9]+\.[0-9][0-9])"));
  EXPECT_EQ(timers.take_micro_line(), "time (ms) | fwd_microstep: 0.00 | step_microstep: 0.00");
}

TEST(StepTimers, AddUpMicroBatchesUntilTheStepsLine) {
  StepTimers timers;
  pass(timers, Phase::kForward);
  timers.take_micro_line();
  const double one = timers.step_ms(Phase::kForward);
  EXPECT_GE(one, 2);
  pass(timers, Phase::kForward);
  EXPECT_GE(timers.step_ms(Phase::kForward), one + 2);
  const auto all = timers.all();
  EXPECT_LT(all.at("fwd_microstep"), all.at("fwd"));
  EXPECT_EQ(all.at("bwd_allreduce"), 0);
  timers.take_step_line();
  EXPECT_EQ(timers.step_ms(Phase::kForward), 0);
}

TEST(StepTimers, IgnoreAStopWithoutAStart) {
  StepTimers timers;
  timers.stop(Phase::kBackward);
  EXPECT_EQ(timers.take_step_line(), "time (ms)");
}

TEST(Throughput, LeavesOutTwoStepsAndAveragesTheRest) {
  double now = 100;
  ThroughputTimer timer([&] { return now; });
  const auto step = [&](double seconds, int64_t batch) {
    for (int micro = 0; micro < 2; ++micro) {
      timer.start();
      now += seconds / 2;
      timer.stop(micro == 1, batch);
      now += 7;  // time between stop and start does not count
    }
  };
  step(50, 8);
  step(50, 8);
  EXPECT_FALSE(timer.line(0, 0));
  step(2, 8);
  step(6, 8);
  EXPECT_EQ(timer.line(int64_t{3} << 29, int64_t{2} << 30).value_or("nothing"),
            "epoch=0/micro_step=8/global_step=4, RunningAvgSamplesPerSec=2.0, "
            "CurrSamplesPerSec=1.3333331111111482, "
            "MemAllocated=1.5GB, MaxMemAllocated=2.0GB");
}

TEST(Throughput, IgnoresAStepWithoutAForward) {
  ThroughputTimer timer;
  timer.stop(true, 8);
  EXPECT_EQ(timer.steps(), 0);
}

}  // namespace
}  // namespace deepspeed::observe
