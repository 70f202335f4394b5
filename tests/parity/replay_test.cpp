// Replays what DeepSpeed and transformers gave (README.md beside this file) with our engine: losses, learning
// rates and gradient norms of every golden run, and that the comparison has teeth.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "deepspeed/base/file.h"
#include "deepspeed/comm/ranks.h"
#include "deepspeed/data/token_dataset.h"
#include "deepspeed/engine/parse_config.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/weights.h"
#include "tests/parity/curve.h"
#include "tests/support/combinations.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using parity::Row;

const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";

// A reference, since it is iterated over in place.
const Json& manifest() {
  static const Json json = Json::parse(base::read_text_file(kGoldens / "manifest.json"));
  return json;
}

std::vector<Json> rows_of(const Json& run) {
  return parity::json_lines(kGoldens / run["expected"].get<std::string>());
}

struct Model {
  std::shared_ptr<models::Decoder> decoder;  // without memory: the engine fills it, whole or sharded
  std::shared_ptr<const models::WeightSource> weights;
};

Model open(const fs::path& folder) {
  const auto spec = models::read_arch_spec(folder / "config.json");
  Model model{.decoder = std::make_shared<models::Decoder>(spec, nullptr),
              .weights = std::make_shared<models::WeightSource>(formats::ModelFiles::open(folder), spec)};
  model.weights->check(nn::list_parameters(*model.decoder));
  return model;
}

double share_without_memory(models::Decoder& model) {
  const auto parameters = model.parameters();
  const auto empty = std::count_if(parameters.begin(), parameters.end(),
                                   [](const at::Tensor& p) { return !nn::is_materialized(p); });
  return static_cast<double>(empty) / static_cast<double>(parameters.size());
}

std::vector<Row> replay(const Json& run, const std::string& config, int steps) {
  std::vector<Row> rows;
  comm::run_ranks(run["world_size"].get<int>(), [&](comm::GroupPtr group) {
    const auto [decoder, weights] = open(kGoldens / run["model"].get<std::string>());
    auto data = std::make_shared<data::TokenDataset>(
        data::map_token_file(kGoldens / run["data"].get<std::string>(), 2),
        data::SampleOptions{.sequence_length = run["seq_length"], .vocab = decoder->spec().vocab});
    auto ready = initialize({.model = decoder,
                             .config = config,
                             .group = group,
                             .training_data = data,
                             .shuffle = false,
                             .values = weights,
                             .same_on_all_ranks = true});
    const auto mine = parity::train_curve(ready, *group, steps, [&, model = decoder](const auto& batch) {
      return model->forward(batch[0], batch[0]);
    });
    if (run["factors"]["stage"] == 3)
      EXPECT_GT(share_without_memory(*decoder), 0.5);
    else
      EXPECT_EQ(share_without_memory(*decoder), 0);
    if (group->rank() == 0) rows = mine;
  });
  return rows;
}

// How far a run is from its golden in units of the tolerances: above 1 fails.
double worst_loss(const Json& tolerance, const std::vector<Row>& ours, const std::vector<Json>& theirs) {
  double worst = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double want = theirs[i]["loss"], difference = std::abs(ours[i].loss - want);
    worst = std::max(worst, difference / (tolerance["loss_relative"].get<double>() * want));
    if (!tolerance["loss_absolute"].is_null())
      worst = std::max(worst, difference / tolerance["loss_absolute"].get<double>());
  }
  return worst;
}

class GoldenRun : public testing::TestWithParam<Json> {};

TEST_P(GoldenRun, GivesDeepSpeedsLossesLearningRatesAndGradientNorms) {
  const Json run = GetParam();
  const auto theirs = rows_of(run);
  const auto ours =
      replay(run, (kGoldens / run["config"].get<std::string>()).string(), static_cast<int>(theirs.size()));
  const Json& tolerance = run["tolerance"];
  EXPECT_LE(worst_loss(tolerance, ours, theirs), 1.0);
  double worst_norm = 0;
  for (size_t i = 0; i < theirs.size(); ++i) {
    EXPECT_NEAR(ours[i].lr, theirs[i]["lr"].get<double>(), tolerance["lr_absolute"].get<double>())
        << "step " << i + 1;
    if (theirs[i]["grad_norm"].is_null()) continue;
    ASSERT_TRUE(ours[i].norm);
    worst_norm = std::max(worst_norm, std::abs(*ours[i].norm / theirs[i]["grad_norm"].get<double>() - 1.0));
  }
  EXPECT_LE(worst_norm, tolerance["grad_norm_relative"].get<double>());
  std::printf("[  FIGURE  ] worst loss %.3f of its tolerance, worst gradient norm off by %.2e\n",
              worst_loss(tolerance, ours, theirs), worst_norm);
}

std::vector<Json> all_runs() { return manifest()["runs"].get<std::vector<Json>>(); }

// More than two ranks wait for each other on two cores: in a full run only.
std::vector<Json> chosen_runs() {
  std::vector<Json> chosen;
  for (const Json& run : all_runs())
    if (testing_support::full_run() || run["factors"]["ranks"] <= 2) chosen.push_back(run);
  return chosen;
}

INSTANTIATE_TEST_SUITE_P(Parity, GoldenRun, testing::ValuesIn(chosen_runs()), [](const auto& info) {
  std::string name = info.param["name"];
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

// Multiplies every learning rate of a configuration.
void scale_rates(Json& config, double factor) {
  auto scale = [&](Json& params, const char* key) {
    if (!params.contains(key)) return;
    if (params[key].is_array())
      for (auto& value : params[key]) value = value.get<double>() * factor;
    else
      params[key] = params[key].get<double>() * factor;
  };
  scale(config["optimizer"]["params"], "lr");
  for (const char* key :
       {"warmup_min_lr", "warmup_max_lr", "cycle_min_lr", "cycle_max_lr", "lr_range_test_min_lr"})
    scale(config["scheduler"]["params"], key);
}

// Over all steps, since rounding moves single ones by as much as the precision does.
double mean_norm_error(const std::vector<Row>& ours, const std::vector<Json>& theirs) {
  double sum = 0;
  for (size_t i = 0; i < ours.size(); ++i)
    sum += std::abs(*ours[i].norm / theirs[i]["grad_norm"].get<double>() - 1.0);
  return sum / static_cast<double>(ours.size());
}

TEST(GoldenRuns, OfAutocastAreNotThoseOfFp32) {
  const int wanted = testing_support::full_run() ? 2 : 1;
  int seen = 0;
  for (const Json& run : manifest()["runs"]) {
    if (seen == wanted) break;
    const auto theirs = rows_of(run);
    if (run["factors"]["precision"] != "bf16-autocast" || theirs[0]["grad_norm"].is_null()) continue;
    ++seen;
    Json config = Json::parse(base::read_text_file(kGoldens / run["config"].get<std::string>()));
    const auto steps = static_cast<int>(theirs.size());
    const double cast = mean_norm_error(replay(run, config.dump(), steps), theirs);
    config["torch_autocast"]["enabled"] = false;
    const double plain = mean_norm_error(replay(run, config.dump(), steps), theirs);
    std::printf("[  FIGURE  ] gradient norm off by %.2e under autocast, by %.2e in fp32\n", cast, plain);
    EXPECT_GT(plain, 2 * cast) << run["name"];
  }
  EXPECT_EQ(seen, wanted);
}

TEST(GoldenRuns, FailWithALearningRateTwoPercentOff) {
  ASSERT_GE(manifest()["runs"].size(), 10u);
  // Every schedule and every precision, but not all pairs: that would take as long as the goldens do.
  std::map<std::string, bool> seen;
  std::vector<Json> runs;
  for (const Json& run : manifest()["runs"]) {
    const bool old_schedule = std::exchange(seen[run["factors"]["schedule"].get<std::string>()], true);
    const bool old_precision = std::exchange(seen[run["factors"]["precision"].get<std::string>()], true);
    if (!old_schedule || !old_precision) runs.push_back(run);
  }
  for (const Json& run : testing_support::some_of(runs, 4)) {
    Json config = Json::parse(base::read_text_file(kGoldens / run["config"].get<std::string>()));
    scale_rates(config, 1.02);
    const auto theirs = rows_of(run);
    EXPECT_GT(
        worst_loss(run["tolerance"], replay(run, config.dump(), static_cast<int>(theirs.size())), theirs),
        1.0)
        << run["name"];
  }
}

}  // namespace
}  // namespace deepspeed
