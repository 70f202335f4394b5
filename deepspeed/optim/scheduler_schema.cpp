#include "deepspeed/base/error.h"
#include "deepspeed/config/not_yet.h"
#include "deepspeed/optim/schema.h"

namespace deepspeed::optim {
namespace {

using config::Json;
using config::Node;
using config::Rules;
using config::Warnings;

config::Schema<LrRangeTestConfig> lr_range_test_schema() {
  using C = LrRangeTestConfig;
  config::Schema<C> s("LRRangeTest: a learning rate that grows, to find the largest stable one.");
  s.field("lr_range_test_min_lr", &C::lr_range_test_min_lr)
      .at_least(0)
      .doc("Start; one value, or one a group.");
  s.field("lr_range_test_step_size", &C::lr_range_test_step_size).above(0).doc("Steps of one interval.");
  s.field("lr_range_test_step_rate", &C::lr_range_test_step_rate)
      .doc("Growth an interval, as a part of the start.");
  s.field("lr_range_test_staircase", &C::lr_range_test_staircase)
      .doc("Grow once an interval, not every step.");
  return s;
}

config::Schema<OneCycleConfig> one_cycle_schema() {
  using C = OneCycleConfig;
  config::Schema<C> s("OneCycle: up, down, then decay; momentum runs the other way.");
  s.field("cycle_min_lr", &C::cycle_min_lr).at_least(0).require().doc("Lowest learning rate of the cycle.");
  s.field("cycle_max_lr", &C::cycle_max_lr).at_least(0).require().doc("Highest learning rate of the cycle.");
  s.field("decay_lr_rate", &C::decay_lr_rate).doc("Decay of the rate after the cycle.");
  s.field("cycle_first_step_size", &C::cycle_first_step_size).above(0).doc("Steps of the way up.");
  s.field("cycle_second_step_size", &C::cycle_second_step_size)
      .above(0)
      .doc("Steps of the way down; null: as up.");
  s.field("cycle_first_stair_count", &C::cycle_first_stair_count)
      .at_least(0)
      .doc("Stairs of the way up; 0: smooth.");
  s.field("cycle_second_stair_count", &C::cycle_second_stair_count)
      .at_least(0)
      .doc("Stairs of the way down; null: as up.");
  s.field("decay_step_size", &C::decay_step_size)
      .at_least(0)
      .doc("Steps of one decay interval; 0: no decay.");
  s.field("cycle_momentum", &C::cycle_momentum).doc("Cycle the momentum as well.");
  s.field("cycle_min_mom", &C::cycle_min_mom).range(0, 1).doc("Lowest momentum.");
  s.field("cycle_max_mom", &C::cycle_max_mom).range(0, 1).doc("Highest momentum.");
  s.field("decay_mom_rate", &C::decay_mom_rate).doc("Decay of the momentum after the cycle.");
  return s;
}

template <class C>
void add_warmup_type(config::Schema<C>& s) {
  s.field("warmup_num_steps", &C::warmup_num_steps)
      .above(0)
      .doc("Steps of the warm-up; at least 2 are used.");
  s.template choice<WarmupType>("warmup_type", &C::warmup_type,
                                {{"log", WarmupType::kLog}, {"linear", WarmupType::kLinear}})
      .doc("Shape of the warm-up.");
}

template <class C>
void add_warmup_range(config::Schema<C>& s, const char* max_doc) {
  s.field("warmup_min_lr", &C::warmup_min_lr)
      .at_least(0)
      .doc("Start of the warm-up; one value, or one a group.");
  s.field("warmup_max_lr", &C::warmup_max_lr).at_least(0).doc(max_doc);
}

config::Schema<WarmupLrConfig> warmup_schema() {
  config::Schema<WarmupLrConfig> s("WarmupLR: up to the maximum, then constant.");
  add_warmup_range(s, "End of the warm-up; null: the group's lr.");
  s.table()->find("warmup_max_lr")->nullable = true;
  add_warmup_type(s);
  return s;
}

config::Schema<WarmupDecayLrConfig> warmup_decay_schema() {
  config::Schema<WarmupDecayLrConfig> s("WarmupDecayLR: up to the maximum, then linearly to 0.");
  s.field("total_num_steps", &WarmupDecayLrConfig::total_num_steps)
      .above(0)
      .require()
      .doc("Steps of the training.");
  add_warmup_range(s, "End of the warm-up.");
  add_warmup_type(s);
  return s;
}

config::Schema<WarmupCosineLrConfig> warmup_cosine_schema() {
  using C = WarmupCosineLrConfig;
  config::Schema<C> s("WarmupCosineLR: ratios of the group's lr, up and then down half a cosine.");
  s.field("total_num_steps", &C::total_num_steps).above(0).require().doc("Steps of the training.");
  s.field("warmup_min_ratio", &C::warmup_min_ratio).at_least(0).doc("Ratio at the start of the warm-up.");
  s.field("cos_min_ratio", &C::cos_min_ratio).at_least(0).doc("Ratio at the end.");
  add_warmup_type(s);
  return s;
}

struct Schedule {
  config::Variant variant;
  std::function<void(const Node& params, SchedulerConfig& out, Warnings& warnings)> parse;
};

template <class C>
Schedule variant(std::string name, config::Schema<C> schema) {
  schema.add(config::not_yet_field(
      {"", "int", "-1", "=", "starting a schedule in the middle other than by loading a checkpoint"},
      "last_batch_iteration"));
  auto place = [](const void* target) -> const void* {
    return std::get_if<C>(&static_cast<const SchedulerConfig*>(target)->schedule);
  };
  return {{std::move(name), schema.table(), place},
          [schema](const Node& params, SchedulerConfig& out, Warnings& warnings) {
            out.schedule = schema.parse(params, warnings);
          }};
}

std::vector<Schedule> schedules() {
  return {variant("LRRangeTest", lr_range_test_schema()), variant("OneCycle", one_cycle_schema()),
          variant("WarmupLR", warmup_schema()), variant("WarmupDecayLR", warmup_decay_schema()),
          variant("WarmupCosineLR", warmup_cosine_schema())};
}

const std::vector<std::string>& torch_schedules() {
  static const std::vector<std::string> kNames{
      "LambdaLR",     "MultiplicativeLR", "StepLR",       "MultiStepLR",       "ConstantLR",
      "LinearLR",     "ExponentialLR",    "CyclicLR",     "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
      "PolynomialLR", "OneCycleLR",       "SequentialLR", "ChainedScheduler",  "ReduceLROnPlateau"};
  return kNames;
}

[[noreturn]] void unknown_type(const Node& node, const std::vector<Schedule>& known) {
  std::string name = node.json().get<std::string>();
  for (const std::string& torch : torch_schedules())
    if (name == torch) config::refuse_not_yet("torch.optim.lr_scheduler." + torch, node);
  std::vector<std::string> names = torch_schedules();
  for (const Schedule& s : known) names.insert(names.begin(), s.variant.name);
  auto near = config::nearest_name(name, names);
  base::fail("{}: no such schedule{}", node.describe(),
             near ? fmt::format("; did you mean \"{}\"?", *near)
                  : "; there are LRRangeTest, OneCycle, WarmupLR, WarmupDecayLR and WarmupCosineLR");
}

void finish_scheduler(const std::vector<Schedule>& known, const Node& block, SchedulerConfig& scheduler,
                      Warnings& warnings) {
  auto type = block.find("type");
  auto params = block.find("params");
  if (!type || type->json().is_null()) {
    DS_CHECK(!params || params->json().empty(),
             "{} has params but no type ({}): write \"type\": \"WarmupLR\"", block.path(), block.where());
    return;
  }
  Node values = params && !params->json().is_null() ? *params : type->replaced_by("params", Json::object());
  for (const Schedule& s : known)
    if (s.variant.name == type->json().get<std::string>()) return s.parse(values, scheduler, warnings);
  unknown_type(*type, known);
}

}  // namespace

config::Schema<SchedulerConfig> scheduler_schema() {
  config::Schema<SchedulerConfig> s(
      "The learning-rate schedule; one step an optimizer step that was not skipped.");
  s.custom("type", "LRRangeTest | OneCycle | WarmupLR | WarmupDecayLR | WarmupCosineLR", nullptr,
           [](const Node& node, SchedulerConfig&, const Rules& rules, Warnings&) {
             config::read_text(node, rules);
           })
      .doc("Which schedule; none when left out.")
      .nullable = true;
  config::Field& params = s.custom("params", "object", Json::object(),
                                   [](const Node&, SchedulerConfig&, const Rules&, Warnings&) {});
  params.doc("Parameters of the type.").nullable = true;
  params.picked_by = "type";
  std::vector<Schedule> known = schedules();
  for (const Schedule& schedule : known) params.variants.push_back(schedule.variant);
  s.finish([known = std::move(known)](const Node& block, SchedulerConfig& scheduler, Warnings& warnings) {
    finish_scheduler(known, block, scheduler, warnings);
  });
  return s;
}

}  // namespace deepspeed::optim
