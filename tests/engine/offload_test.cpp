// Where states live changes no curve: every placement of one run, and resuming on it.
#include "deepspeed/base/error.h"
#include "tests/engine/placings.h"
#include "tests/support/combinations.h"

namespace deepspeed::engine {
namespace {

namespace fs = std::filesystem;
using testing_support::some_of;

class Offload : public Placings {
 protected:
  std::string config(const Placing& placing, const std::string& more = "", double lr = 1e-3,
                     const std::string& type = "AdamW", const std::string& params = "") const {
    return fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2,
      "optimizer": {{"type": "{}", "params": {{"lr": {}{}}}}}, {}{}}})",
                       type, lr, params, zero_block(placing), more);
  }
};

std::vector<double> curve(int world, const std::string& config, int steps = 6) {
  std::vector<double> losses;
  comm::run_ranks(world, [&](comm::GroupPtr group) {
    TinyRun run(group, config);
    const auto mine = run.steps(steps);
    if (group->rank() == 0) losses = mine;
  });
  return losses;
}

double worst(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) worst = std::max(worst, std::abs(a[i] / b[i] - 1));
  return worst;
}

// In 16 bits stage 0 counts one step more (Engine::take_first_step), which shows in bias correction alone.
TEST_F(Offload, GivesTheCurveOfStage0AtEveryPlacement) {
  for (const auto& [precision, allowed] :
       std::vector<std::pair<std::string, double>>{{"", 1e-5}, {R"(, "bf16": {"enabled": true})", 2e-3}}) {
    const auto config = [&, precision = precision](const Placing& placing, double lr = 5e-4) {
      return this->config(placing, precision, lr, "AdamW", R"(, "bias_correction": false)");
    };
    const auto wanted = curve(2, config({}));
    EXPECT_LT(wanted.back(), wanted.front());
    double most = 0;
    const auto placings = some_of(all_placings(), 4);
    for (const Placing& placing : placings) {
      const double off = worst(curve(2, config(placing)), wanted);
      EXPECT_LT(off, allowed) << name_of(placing) << precision;
      most = std::max(most, off);
    }
    std::printf("[  FIGURE  ] %zu placements%s: at most %.1e off\n", placings.size(), precision.c_str(),
                most);
    EXPECT_GT(worst(curve(2, config({}, 6e-4)), wanted), allowed);  // the comparison has teeth
  }
}

TEST_F(Offload, ToADiskHasTheBitsOfOffloadToMemory) {
  std::vector<std::tuple<const char*, std::string, int>> all;
  for (const char* type : {"Adam", "AdamW", "Adagrad", "Lion"})
    for (const char* precision : {"", R"(, "bf16": {"enabled": true})"})
      for (int stage : {0, 2, 3}) all.emplace_back(type, precision, stage);
  for (const auto& [type, precision, stage] : some_of(all, 5))
    EXPECT_EQ(curve(2, config({stage, "nvme"}, precision, 1e-3, type)),
              curve(2, config({stage, "cpu"}, precision, 1e-3, type)))
        << type << " stage " << stage << precision;
}

TEST_F(Offload, OfParametersToADiskChangesNoBit) {
  const std::string bf16 = R"(, "bf16": {"enabled": true})", fp16 = R"(, "fp16": {"enabled": true})",
                    masters = R"(, "bf16": {"enabled": true, "bf16_master_weights_and_grads": true})";
  std::vector<std::tuple<int, Placing, std::string>> all;
  for (int world : {1, 2, 3})
    for (const Placing& placing : {Placing{3, "none"}, Placing{3, "cpu"}, Placing{3, "cpu", 0.3},
                                   Placing{3, "nvme"}, Placing{3, "nvme", 0.3}})
      for (const std::string& more : {std::string(), bf16, world == 2 ? fp16 : masters}) {
        if (more == masters && placing.optimizer == std::string("none")) continue;  // needs offload
        if (world != 2 && placing.ratio == 1 && placing.optimizer == std::string("cpu")) continue;
        if (world == 1 && placing.ratio < 1) continue;
        all.emplace_back(world, placing, more);
      }
  for (const auto& [world, placing, more] : some_of(all, 5)) {
    Placing stored = placing;
    stored.parameter = "nvme";
    EXPECT_EQ(curve(world, config(stored, more)), curve(world, config(placing, more)))
        << name_of(stored) << ", " << world << " ranks" << more;
  }
}

TEST_F(Offload, OfParametersToADiskGoesTogetherWithZeroPlusPlus) {
  const auto with = [](std::string config, const std::string& keys) {
    const std::string before = "\"sub_group_size\"";
    return config.insert(config.find(before), keys);
  };
  const std::vector<std::string> all = {
      R"("zero_quantized_weights": true, "zero_hpz_partition_size": 2, "zero_quantized_gradients": true, )",
      R"("zero_quantized_gradients": true, "zeropp_loco_param": {"err_beta": 0.6, "reset_T": 3}, )",
      R"("mics_shard_size": 2, )"};
  for (const std::string& keys : some_of(all, 3))
    for (const std::string& optimizer : some_of(std::vector<std::string>{"nvme", "cpu"}, 2))
      EXPECT_EQ(curve(4, with(config({3, optimizer.c_str(), 1, "nvme"}), keys)),
                curve(4, with(config({3, "cpu"}), keys)))
          << keys << optimizer;
}

TEST_F(Offload, LeavesNoFileAndReadsTheFolderFromTheConfiguration) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, config({3, "nvme"}));
    run.steps(1);
    EXPECT_TRUE(fs::is_empty(folder / "nvme"));
  });
}

TEST_F(Offload, TrainsSixteenBitMastersOfBothFormats) {
  for (const std::string format : {"bf16", "fp16"})
    for (const char* device : {"cpu", "nvme"}) {
      const std::string keys =
          fmt::format(R"(, "{0}": {{"enabled": true, "{0}_master_weights_and_grads": true{1}}})", format,
                      format == "fp16" ? R"(, "initial_scale_power": 4)" : "");
      const auto losses = curve(2, config({2, device}, keys, 1e-2), 12);
      EXPECT_LT(losses.back(), 0.85 * losses.front()) << format << " " << device;
      EXPECT_EQ(losses, curve(2, config({3, device}, keys + R"(, "gradient_clipping": 1.0)", 1e-2), 12));
    }
}

TEST_F(Offload, ResumesBitForBitOnTheSamePlacementAndOnOthers) {
  const std::string bf16 = R"(, "bf16": {"enabled": true})";
  struct Case {
    Placing saved, resumed;
    std::string precision;
  };
  const std::vector<Case> all = {Case{{3, "nvme"}, {3, "nvme"}, ""},
                                 Case{{2, "nvme"}, {2, "nvme"}, bf16},
                                 Case{{3, "nvme", 0.3}, {3, "nvme", 0.3}, bf16},
                                 Case{{0, "nvme"}, {0, "nvme"}, ""},
                                 Case{{3, "nvme", 1, "nvme"}, {3, "nvme", 1, "nvme"}, ""},
                                 Case{{3, "nvme", 1, "nvme"}, {3, "nvme", 1, "nvme"}, bf16},
                                 Case{{3, "nvme", 1, "nvme"}, {2, "none"}, bf16},
                                 Case{{3, "cpu", 1, "nvme"}, {3, "cpu", 1, "nvme"}, ""},
                                 Case{{3, "cpu", 0.3, "nvme"}, {3, "cpu", 0.3, "nvme"}, bf16},
                                 Case{{3, "none", 1, "nvme"}, {3, "none", 1, "nvme"}, ""},
                                 Case{{3, "none", 1, "nvme"}, {3, "nvme", 1, "nvme"}, bf16},
                                 Case{{3, "nvme", 0.3, "nvme"}, {3, "cpu", 1, "nvme"}, ""},
                                 Case{{2, "none"}, {3, "cpu", 1, "nvme"}, ""},
                                 Case{{3, "cpu", 0.3, "cpu"}, {3, "cpu", 0.3, "cpu"}, bf16},
                                 Case{{2, "nvme"}, {2, "cpu"}, bf16},
                                 Case{{2, "none"}, {2, "nvme"}, bf16}};
  for (const Case& c : some_of(all, 3))
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      SCOPED_TRACE(name_of(c.saved) + " -> " + name_of(c.resumed) + c.precision);
      TinyRun straight(group, config(c.saved, c.precision));
      straight.steps(3);
      straight.engine().save_checkpoint(folder / "saved");
      const auto wanted = straight.steps(3);
      TinyRun resumed(group, config(c.resumed, c.precision));
      resumed.steps(1);
      ASSERT_TRUE(resumed.engine().load_checkpoint(folder / "saved"));
      resumed.ready.loader->seek_samples(resumed.engine().global_samples());
      EXPECT_EQ(resumed.steps(3), wanted);
      EXPECT_TRUE(same_bits(resumed.weights(), straight.weights()));
    });
}

TEST_F(Offload, LoadsModelWeightsAloneIntoMastersOnADisk) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const std::string text = config({3, "nvme"}, R"(, "bf16": {"enabled": true})", 1e-5);
    TinyRun run(group, text), other(group, text);
    run.steps(1);
    run.engine().save_checkpoint(folder / "saved");
    const auto saved = run.weights();
    other.steps(3);
    ASSERT_TRUE(other.engine().load_checkpoint(folder / "saved", {.module_only = true}));
    EXPECT_TRUE(same_bits(other.weights(), saved));
    // A step of a rate this small changes nothing in 16 bits, but publishes the masters.
    other.steps(1);
    const auto after = other.weights();
    for (size_t i = 0; i < after.size(); ++i)
      EXPECT_TRUE(at::allclose(after[i].to(at::kFloat), saved[i].to(at::kFloat), 1e-2, 1e-4)) << i;
  });
}

// What rank 1 writes into gathered parameters, those included that are whole anyway, reaches masters
// everywhere.
TEST_F(Offload, MastersFollowGatheredParametersWhereverTheyLive) {
  const std::string bf16 = R"(, "bf16": {"enabled": true})";
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    for (const auto& [placing, precision] :
         std::vector<std::pair<Placing, std::string>>{{{3, "none"}, bf16},
                                                      {{3, "nvme"}, bf16},
                                                      {{3, "nvme", 1, "nvme"}, bf16},
                                                      {{3, "nvme", 0.3, "nvme"}, ""},
                                                      {{3, "cpu", 1, "nvme"}, bf16},
                                                      {{3, "cpu", 1, "nvme"}, ""}}) {
      TinyRun run(group, config(placing, precision, 1e-5));
      {
        const auto whole = run.engine().gathered(run.model->parameters(), /*modifier=*/1);
        at::NoGradGuard no_grad;
        if (group->rank() == 1)
          for (auto& p : run.model->parameters()) p.fill_(0.25);
      }
      run.steps(1);
      for (const auto& p : run.weights())
        EXPECT_LT((p.to(at::kFloat) - 0.25).abs().max().item<double>(), 2e-3)
            << name_of(placing) << precision << " " << p.sizes();
    }
  });
}

TEST_F(Offload, WithAnOptimizerOfTheCallersIsRefused) {
  const auto mine = [](std::vector<optim::ParamGroup> groups) {
    optim::OptimizerConfig adam;
    adam.type = optim::OptimizerType::kAdam;
    return optim::make_optimizer(adam, std::move(groups));
  };
  auto model = std::make_shared<models::Decoder>(tiny_spec(), std::make_shared<accel::Rng>(3, 0));
  nn::DenseMaterializer().materialize(nn::list_parameters(*model), nn::InitSource(5));
  try {
    initialize(
        {.model = model, .config = config({0, "cpu"}), .group = comm::single_group(), .optimizer = mine});
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_NE(std::string(error.what()).find("zero_force_ds_cpu_optimizer"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace deepspeed::engine
