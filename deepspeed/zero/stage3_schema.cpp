// The keys of stage 3, under the names of DeepSpeed 0.19.8's runtime/zero/config.py.
#include "deepspeed/zero/schema.h"

namespace deepspeed::zero {
namespace {

config::Schema<LeafModules> leaf_schema() {
  config::Schema<LeafModules> s("Modules that stage 3 gathers as one.");
  s.strict();
  s.field("classes", &LeafModules::classes).doc("Class names, as C++ has them, with or without namespace.");
  s.field("names", &LeafModules::names).doc("Dotted names within the model.");
  s.field("name_suffixes", &LeafModules::name_suffixes).doc("Ends of dotted names.");
  return s;
}

// Keys that DeepSpeed has for its own machinery and that change no result.
void add_accepted(config::Schema<Stage3Config>& s) {
  const auto accept = [&s](const char* key, bool initial, const char* doc) -> config::Field& {
    return s
        .custom(key, "bool", initial,
                [](const config::Node& node, Stage3Config&, const config::Rules& rules, config::Warnings&) {
                  config::read_bool(node, rules);
                })
        .doc(doc);
  };
  accept("stage3_use_all_reduce_for_fetch_params", false, "Accepted; parameters are always all-gathered.")
      .alias("use_all_reduce_for_fetch_params");
  accept("memory_efficient_linear", true, "Accepted; no linear layer keeps a copy of its weight.");
  accept("pipeline_loading_checkpoint", false, "Accepted; every rank reads only its own parts.");
  accept("override_module_apply", true,
         "Accepted; native modules have no apply() that would miss parameters.");
  accept("enable_sanity_checks", false, "Accepted; the checks are always on.");
}

}  // namespace

config::Schema<Stage3Config> stage3_schema() {
  using C = Stage3Config;
  config::Schema<C> s("");
  // DeepSpeed accepts its field names as well as the aliases with the prefix.
  const auto size = [&s](const char* name, int64_t C::*member) -> config::Field& {
    return s.field(std::string("stage3_") + name, member).alias(name).at_least(0).no_bool();
  };
  size("prefetch_bucket_size", &C::prefetch_bucket_size)
      .doc("Stage 3: elements gathered ahead of their use.");
  size("param_persistence_threshold", &C::param_persistence_threshold)
      .doc("Stage 3: parameters with fewer elements stay whole on every rank.");
  size("model_persistence_threshold", &C::model_persistence_threshold)
      .doc("Stage 3: bound of the elements of all those together.");
  size("max_live_parameters", &C::max_live_parameters)
      .doc("Stage 3: elements gathered at once, beyond which none is prefetched or kept.");
  size("max_reuse_distance", &C::max_reuse_distance)
      .doc("Stage 3: a parameter that is used again before so many others is kept.");
  s.field("stage3_module_granularity_threshold", &C::module_granularity_threshold)
      .alias("module_granularity_threshold")
      .doc("Stage 3: a Block with fewer elements for each of its modules is gathered as one; 0: none.");
  s.field("stage3_allgather_sequential", &C::allgather_sequential)
      .alias("allgather_sequential")
      .doc("Stage 3: gather one parameter at a time, none ahead.");
  s.field("stage3_gather_16bit_weights_on_model_save", &C::gather_16bit_weights_on_model_save)
      .alias("gather_16bit_weights_on_model_save")
      .doc("Stage 3: save_16bit_model may gather the whole model.");
  s.field("log_trace_cache_warnings", &C::log_trace_cache_warnings)
      .doc("Stage 3: say when the order in which Blocks run has changed.");
  s.object("leaf_module", &C::leaf_module, leaf_schema()).doc("Stage 3: modules that are gathered as one.");
  add_accepted(s);
  return s;
}

}  // namespace deepspeed::zero
