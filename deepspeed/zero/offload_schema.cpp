// The keys of offloading, under the names of DeepSpeed 0.19.8's runtime/zero/offload_config.py.
#include "deepspeed/config/not_yet.h"
#include "deepspeed/zero/schema.h"

namespace deepspeed::zero {
namespace {

const std::vector<std::pair<std::string, Home>> kDevices{
    {"none", Home::kDevice}, {"cpu", Home::kCpu}, {"nvme", Home::kNvme}};

// Keys that have nothing to say here.
template <class C>
void accept(config::Schema<C>& s, const char* key, const char* type, config::Json initial, const char* doc) {
  const bool number = initial.is_number();
  config::Field& field =
      s.custom(key, type, std::move(initial),
               [number](const config::Node& node, C&, const config::Rules& rules, config::Warnings&) {
                 number ? void(config::read_number(node, rules)) : void(config::read_bool(node, rules));
               });
  field.doc(doc);
  if (number) field.range(0, 1);
}

}  // namespace

config::Schema<OffloadOptimizerConfig> offload_optimizer_schema() {
  using C = OffloadOptimizerConfig;
  config::Schema<C> s(
      "Where optimizer states live, master weights among them. On a CPU \"cpu\" changes no memory, but steps "
      "are those of DeepSpeed's CPU optimizers.");
  s.strict();
  s.choice<Home>("device", &C::device, kDevices).doc("Memory or disk; any stage.");
  s.field("nvme_path", &C::nvme_path)
      .doc("Folder on the disk that \"nvme\" uses. Its files have no names: a killed run leaves none.");
  s.field("buffer_count", &C::buffer_count)
      .at_least(0)
      .no_bool()
      .doc(
          "With \"nvme\": tiles that may be in memory at once; 1, and 1 more for either pipeline, are used.");
  s.field("pin_memory", &C::pin_memory)
      .doc("With \"nvme\": keep tiles in RAM, as far as `ulimit -l` allows. Else no effect on a CPU.");
  s.field("pipeline_read", &C::pipeline_read).doc("Read the next tile while one is stepped.");
  s.field("pipeline_write", &C::pipeline_write).doc("Write the previous tile while one is stepped.");
  s.field("ratio", &C::ratio)
      .range(0, 1)
      .no_bool()
      .doc(
          "Part of the elements that is offloaded (Twin-Flow); the others are stepped as without offload. "
          "Below 1: stage 3.");
  accept(s, "fast_init", "bool", false, "Accepted; initial states are written once either way.");
  accept(s, "cpuadam_cores_perc", "number", 0.8, "Accepted; it is a share of SuperOffload's.");
  s.add(config::not_yet_field(
      {"zero_optimization.offload_optimizer.super_offload", "bool", "false", "=", "SuperOffload"},
      "super_offload"));
  return s;
}

config::Schema<OffloadParamConfig> offload_param_schema() {
  using C = OffloadParamConfig;
  config::Schema<C> s(
      "Where the parts of sharded parameters live. Stage 3. On a CPU \"cpu\" changes nothing.");
  s.strict();
  s.choice<Home>("device", &C::device, kDevices).doc("Memory or disk, wherever optimizer states live.");
  s.field("nvme_path", &C::nvme_path)
      .doc("Folder on the disk that \"nvme\" uses. Its files have no names: a killed run leaves none.");
  s.field("buffer_count", &C::buffer_count)
      .at_least(0)
      .no_bool()
      .doc("With \"nvme\": most parts that are read ahead of their use at once.");
  s.field("buffer_size", &C::buffer_size)
      .at_least(0)
      .no_bool()
      .doc("Accepted; buffers are as large as what is read.");
  s.field("max_in_cpu", &C::max_in_cpu)
      .at_least(0)
      .no_bool()
      .doc("With \"nvme\": elements of a rank's parts that stay in memory all the same.");
  s.field("pin_memory", &C::pin_memory).doc("No effect on a CPU.");
  return s;
}

}  // namespace deepspeed::zero
