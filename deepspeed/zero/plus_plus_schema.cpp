// The keys of ZeRO++ and MiCS, under the names of DeepSpeed 0.19.6's runtime/zero/config.py.
#include "deepspeed/zero/schema.h"

namespace deepspeed::zero {
namespace {

config::Schema<LocoConfig> loco_schema() {
  config::Schema<LocoConfig> s("Error feedback of quantized gradients (LoCo).");
  s.strict();
  s.field("err_beta", &LocoConfig::err_beta).range(0, 1);
  s.field("reset_T", &LocoConfig::reset_after).above(0).no_bool();
  return s;
}

void add_loco(config::Schema<PlusPlusConfig>& s) {
  config::Field& field = s.custom(
      "zeropp_loco_param", "object", nullptr,
      [](const config::Node& node, PlusPlusConfig& out, const config::Rules&, config::Warnings& warnings) {
        out.loco.reset();
        if (!node.json().is_null()) out.loco = loco_schema().parse(node, warnings);
      });
  field.nullable = true;
  field.show = [](const void* target) -> config::Json {
    const auto& loco = static_cast<const PlusPlusConfig*>(target)->loco;
    if (!loco) return nullptr;
    return {{"err_beta", loco->err_beta}, {"reset_T", loco->reset_after}};
  };
  field.doc(
      "Stage 3, quantized gradients: their error is fed back (LoCo). {\"err_beta\": 0.8, \"reset_T\": 1024}: "
      "the error kept is err_beta of itself and the rest of the last one; it starts anew after reset_T "
      "reductions.");
}

}  // namespace

config::Schema<PlusPlusConfig> plus_plus_schema() {
  using C = PlusPlusConfig;
  config::Schema<C> s("");
  s.field("zero_hpz_partition_size", &C::hpz_partition_size)
      .at_least(0)
      .no_bool()
      .doc(
          "Stage 3: neighbouring ranks (a host's) that hold a second copy of all parameters together, from "
          "which backward gathers; 0 or 1: none (hpZ of ZeRO++).");
  s.field("zero_quantized_weights", &C::quantized_weights)
      .doc("Stage 3: parameters are gathered in 8 bits (qwZ of ZeRO++).");
  s.field("zero_quantized_gradients", &C::quantized_gradients)
      .doc("Stage 3: gradients are reduced in 4 bits, within hosts and then between them (qgZ of ZeRO++).");
  s.field("zero_quantized_nontrainable_weights", &C::quantized_nontrainable_weights)
      .doc(
          "Stage 3: parameters that are not trained are kept and gathered in 8 bits, from several ranks on.");
  add_loco(s);
  s.field("mics_shard_size", &C::mics_shard_size)
      .no_bool()
      .doc(
          "Stage 3: states are cut over so many neighbouring ranks and kept by each such group; -1 or 0: "
          "over all ranks (MiCS).");
  s.field("mics_hierarchical_params_gather", &C::mics_hierarchical_params_gather)
      .doc("MiCS: a shard group that spans hosts gathers between hosts first, then within them.");
  return s;
}

}  // namespace deepspeed::zero
