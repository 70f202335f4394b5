// The whole model in a file, without any rank holding it.
#include <gmock/gmock.h>

#include "deepspeed/accel/tensor_memory.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/comm/traffic.h"
#include "deepspeed/formats/safetensors.h"
#include "deepspeed/models/weights.h"
#include "tests/engine/placings.h"

namespace deepspeed::engine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string kBf16 = R"(, "bf16": {"enabled": true})";

class Export : public Placings {
 protected:
  void SetUp() override {
    Placings::SetUp();
    fs::create_directories(folder);
  }
  std::string config(const Placing& placing, const std::string& more = "",
                     const std::string& keys = "") const {
    return fmt::format(R"({{"train_micro_batch_size_per_gpu": 2,
        "optimizer": {{"type": "AdamW", "params": {{"lr": 1e-2}}}}, {}{}}})",
                       zero_block(placing, R"(, "stage3_gather_16bit_weights_on_model_save": true)" + keys),
                       more);
  }
};

// As they are in the file, by name.
std::map<std::string, at::Tensor> read(const fs::path& path) {
  const formats::SafetensorsFile file(path);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& info : file.tensors()) {
    at::Tensor tensor = at::empty(info.shape, models::tensor_dtype(info.dtype, info.name));
    const auto bytes = file.data(info);
    std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
    tensors[info.name] = tensor;
  }
  return tensors;
}

TEST_F(Export, HoldsTheWeightsAtEveryPlacement) {
  struct Case {
    int world;
    Placing placing;
    std::string more, keys;
  };
  for (const Case& c :
       {Case{2, {0}, "", ""}, Case{2, {2}, kBf16, ""}, Case{1, {3}, "", ""}, Case{3, {3}, "", ""},
        Case{5, {3}, kBf16, ""}, Case{2, {3, "nvme", 1, "nvme"}, kBf16, ""},
        Case{3, {3, "none", 1, "nvme"}, "", ""}, Case{4, {3}, "", R"(, "mics_shard_size": 2)"},
        Case{4, {3}, kBf16, R"(, "zero_hpz_partition_size": 2, "zero_quantized_weights": true)"}})
    comm::run_ranks(c.world, [&](comm::GroupPtr group) {
      SCOPED_TRACE(name_of(c.placing) + c.more + c.keys);
      const auto freeze_some = [](models::Decoder& model) { model.parameters()[3].set_requires_grad(false); };
      TinyRun run(group, config(c.placing, c.more, c.keys), tiny_spec(), false, freeze_some);
      run.steps(2);
      EXPECT_TRUE(run.engine().save_16bit_model(folder));
      const auto weights = run.weights();
      run.steps(1);  // it all goes on
      if (group->rank() != 0) return;
      const auto saved = read(folder / "model.safetensors");
      const auto named = run.model->named_parameters();
      EXPECT_EQ(saved.size(), named.size() + run.model->named_buffers().size());
      for (size_t i = 0; i < weights.size(); ++i)
        EXPECT_TRUE(at::equal(saved.at(named[i].key()), weights[i])) << named[i].key();
    });
}

// What rank 0 needs is the largest parameter and its parts, what others need is their part of it.
TEST_F(Export, LetsNoRankHoldTheModel) {
  for (const Placing& placing : {Placing{3}, Placing{3, "none", 1, "nvme"}})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      SCOPED_TRACE(name_of(placing));
      comm::Traffic traffic;
      group->set_observer(traffic.observer());
      TinyRun run(group, config(placing));
      int64_t model = 0, largest = 0;
      for (const auto& p : run.model->parameters()) {
        model += p.numel() * 4;
        largest = std::max(largest, p.numel() * 4);
      }
      ASSERT_GT(model, 8 * largest);
      const bool first = group->rank() == 0;
      const auto before = run.engine().state_bytes();
      const auto within = [&](const char* what, const std::function<void()>& work, int64_t most) {
        traffic.clear();
        const accel::TensorMemory memory;
        work();
        EXPECT_LT(memory.peak_bytes(), most) << what << " on rank " << group->rank();
        // Nothing but announcements leaves rank 0, nothing but parts the others.
        EXPECT_LT(traffic.sent([](const auto&) { return true; }), first ? 64 * 100 : model / 2 + 64 * 100)
            << what;
        EXPECT_EQ(run.engine().state_bytes(), before) << what;
      };
      const int64_t most = first ? 2 * largest + 4096 : largest;
      within(
          "save_16bit_model", [&] { run.engine().save_16bit_model(folder); }, most);
      within(
          "export",
          [&] {
            run.engine().with_whole_values("export", [&](const WholeValues& values) {
              base::write_text_file(folder / "config.json", "{}");
              models::export_hugging_face(folder / "out", tiny_spec(), *run.model,
                                          {.source = folder, .values = values});
            });
          },
          most);
      within(
          "module_state_dict", [&] { run.engine().module_state_dict(); },
          first ? 2 * model : largest);  // what rank 0 wants it to hold
      const accel::TensorMemory memory;
      const auto whole = run.engine().gathered(run.model->parameters());
      EXPECT_GT(memory.peak_bytes(), most) << "the measure has teeth";
      group->set_observer(nullptr);
    });
}

TEST_F(Export, IsTheSameFileAsThatOfAWholeModel) {
  const auto spec = tiny_spec();
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun sharded(group, config({3})), whole(group, config({0}));
    sharded.steps(2), whole.steps(2);
    for (TinyRun* run : {&sharded, &whole})
      run->engine().with_whole_values("export", [&](const WholeValues& values) {
        base::write_text_file(folder / "config.json", "{}");
        models::export_hugging_face(folder / (run == &whole ? "whole" : "sharded"), spec, *run->model,
                                    {.source = folder, .dtype = at::kBFloat16, .values = values});
      });
  });
  EXPECT_EQ(base::read_text_file(folder / "whole" / "model.safetensors"),
            base::read_text_file(folder / "sharded" / "model.safetensors"));
}

TEST_F(Export, ThatFailsIsEveryRanksErrorAndTrainingGoesOn) {
  comm::run_ranks(3, [&](comm::GroupPtr group) {
    TinyRun run(group, config({3}));
    run.steps(1);
    if (group->rank() == 0) base::write_text_file(folder / "a file", "");
    const auto error_of = [&](const std::function<void()>& call) -> std::string {
      try {
        call();
      } catch (const base::Error& error) {
        return error.what();
      }
      return "";
    };
    EXPECT_THAT(error_of([&] { run.engine().save_16bit_model(folder / "a file" / "folder"); }),
                HasSubstr("save_16bit_model: rank 0: "));
    int asked = 0;
    EXPECT_EQ(error_of([&] {
                run.engine().with_whole_values("asking", [&](const WholeValues& values) {
                  for (const auto& p : run.model->parameters()) {
                    values(p);
                    if (++asked == 5) base::fail("enough");
                  }
                });
              }),
              "asking: rank 0: enough");
    EXPECT_EQ(asked, group->rank() == 0 ? 5 : 0);
    run.steps(1);
  });
}

TEST_F(Export, AtStage3NeedsTheKey) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "optimizer": {{"type": "Adam"}},
                                       "zero_optimization": {{"stage": 3}}}})"));
    EXPECT_FALSE(run.engine().save_16bit_model(folder));
    EXPECT_TRUE(fs::is_empty(folder));
  });
}

}  // namespace
}  // namespace deepspeed::engine
