// Against the tables that DeepSpeed's own functions print (make_memory_estimates.py).
#include "deepspeed/zero/memory_estimate.h"

#include <gmock/gmock.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>

#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/zero/model_size.h"

namespace deepspeed::zero {
namespace {

using ::testing::HasSubstr;

TEST(MemoryEstimate, PrintsDeepSpeedsTables) {
  const auto rows =
      nlohmann::json::parse(base::read_text_file(DS_SOURCE_DIR "/tests/zero/goldens/memory_estimates.json"));
  ASSERT_GE(rows.size(), 9u);
  for (const auto& row : rows) {
    const ModelSize model{row["total_params"], row["largest_layer_params"]};
    const EstimateOptions options{.num_gpus_per_node = row["num_gpus_per_node"],
                                  .num_nodes = row["num_nodes"],
                                  .additional_buffer_factor = row["additional_buffer_factor"]};
    EXPECT_EQ(estimate_zero2_model_states_mem_needs_all_cold(model.total_params, options), row["zero2"]);
    EXPECT_EQ(estimate_zero3_model_states_mem_needs_all_cold(model, options), row["zero3"]);
  }
}

TEST(MemoryEstimate, HasThePublishedFiguresOfT5) {
  const std::string table =
      estimate_zero3_model_states_mem_needs_all_cold({2'851'598'336, 32'899'072}, {.num_gpus_per_node = 8});
  for (const char* figure : {"6.10GB", "0.79GB", "0.12GB", "127.48GB", "71.71GB", "63.74GB"})
    EXPECT_THAT(table, HasSubstr(figure));
}

TEST(MemoryEstimate, CountsSharedParametersOnceAndLayersByWhatTheyHold) {
  torch::nn::Linear small(3, 2), large(5, 4);
  torch::nn::ModuleList model(small, large);
  model->push_back(torch::nn::ModuleList(small).ptr());
  EXPECT_EQ(model_size(*model).total_params, 3 * 2 + 2 + 5 * 4 + 4);
  EXPECT_EQ(model_size(*model).largest_layer_params, 5 * 4 + 4);
  EXPECT_EQ(estimate_zero3_model_states_mem_needs_all_live(*model),
            estimate_zero3_model_states_mem_needs_all_cold({32, 24}));
  EXPECT_EQ(estimate_zero2_model_states_mem_needs_all_live(*model),
            estimate_zero2_model_states_mem_needs_all_cold(32));
}

TEST(MemoryEstimate, RefusesImpossibleSizes) {
  EXPECT_THROW(estimate_zero2_model_states_mem_needs_all_cold(-1), base::Error);
  EXPECT_THROW(estimate_zero2_model_states_mem_needs_all_cold(INT64_MAX), base::Error);
  EXPECT_THROW(estimate_zero3_model_states_mem_needs_all_cold({10, 11}), base::Error);
  EXPECT_THROW(estimate_zero2_model_states_mem_needs_all_cold(1, {.num_gpus_per_node = 0}), base::Error);
  EXPECT_THROW(estimate_zero2_model_states_mem_needs_all_cold(1, {.num_nodes = -2}), base::Error);
}

}  // namespace
}  // namespace deepspeed::zero
