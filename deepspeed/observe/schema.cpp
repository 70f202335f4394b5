#include "deepspeed/observe/schema.h"

#include "deepspeed/base/error.h"
#include "deepspeed/config/not_yet.h"

namespace deepspeed::observe {
namespace {

using config::Node;
using config::Rules;
using config::Warnings;

config::Schema<MonitorFilesConfig> files_schema(const char* doc) {
  config::Schema<MonitorFilesConfig> s(doc);
  s.strict();
  s.field("enabled", &MonitorFilesConfig::enabled).doc("Write events.");
  s.field("output_path", &MonitorFilesConfig::output_path)
      .doc("Folder that the job's folder is made in; empty: the current one.");
  s.field("job_name", &MonitorFilesConfig::job_name).doc("Name of the job's folder.");
  return s;
}

config::Schema<ObserveConfig> timers_schema() {
  config::Schema<ThroughputConfig> throughput("Samples a second, said with each progress line.");
  throughput.strict();
  throughput.field("enabled", &ThroughputConfig::enabled).doc("Measure it.");
  throughput.field("synchronized", &ThroughputConfig::synchronized)
      .doc("Wait for the device before the clock is read; CPUs need no waiting.");
  config::Schema<ObserveConfig> s("Timers.");
  s.object("throughput", &ObserveConfig::throughput, throughput);
  return s;
}

struct Row {
  const char* key;
  const char* type;  // config::NotYetRow's little language
  const char* initial;
};

// A block whose monitor is a Python library: its keys are checked, `enabled` is refused.
config::Schema<ObserveConfig> python_monitor(const char* service, const std::vector<Row>& rows) {
  config::Schema<ObserveConfig> s(
      fmt::format("Events sent to {} by its Python library: accepted while off.", service));
  s.strict();
  s.custom("enabled", "bool", false,
           [service](const Node& node, ObserveConfig&, const Rules& rules, Warnings&) {
             if (config::read_bool(node, rules))
               base::fail(
                   "{}: {} is reached through a Python library, which a native program cannot load; use "
                   "tensorboard "
                   "or csv_monitor",
                   node.describe(), service);
           })
      .doc("true is an error: a native program cannot load it.");
  for (const Row& row : rows) s.add(config::not_yet_field({"", row.type, row.initial, "", ""}, row.key));
  return s;
}

}  // namespace

config::Schema<ObserveConfig> schema() {
  config::Schema<ObserveConfig> s("Monitors and timers.");
  s.field("wall_clock_breakdown", &ObserveConfig::wall_clock_breakdown)
      .doc("Rank 0 says after every step how long forward, backward and step took.");
  s.field("memory_breakdown", &ObserveConfig::memory_breakdown)
      .doc("Rank 0 says before and after forward, backward and step how much memory is in use.");
  s.object("tensorboard", &ObserveConfig::tensorboard,
           files_schema("TensorBoard event files, written by rank 0 to output_path/job_name."));
  s.object("csv_monitor", &ObserveConfig::csv_monitor,
           files_schema("One CSV file an event name, written by rank 0 to output_path/job_name."));
  s.same_object("wandb", python_monitor("Weights & Biases", {{"group", "text|null", "null"},
                                                             {"team", "text|null", "null"},
                                                             {"project", "text", "\"deepspeed\""}}));
  s.same_object("comet", python_monitor("Comet", {{"samples_log_interval", "int>0", "100"},
                                                  {"project", "text|null", "null"},
                                                  {"workspace", "text|null", "null"},
                                                  {"api_key", "text|null", "null"},
                                                  {"experiment_name", "text|null", "null"},
                                                  {"experiment_key", "text|null", "null"},
                                                  {"online", "bool|null", "null"},
                                                  {"mode", "text|null", "null"}}));
  s.same_object("timers", timers_schema());
  return s;
}

}  // namespace deepspeed::observe
