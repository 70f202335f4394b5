#include "deepspeed/base/error.h"
#include "deepspeed/optim/schema.h"

namespace deepspeed::optim {
namespace {

void check_dynamic(const config::Node& block, Fp16Config& fp16, config::Warnings&) {
  if (!fp16.enabled || !fp16.dynamic()) return;
  auto need_positive = [&](const char* key, double value) {
    if (value > 0) return;
    config::fail_value(*block.find(key), "> 0 when the loss scale is dynamic (fp16.loss_scale 0)");
  };
  need_positive("loss_scale_window", static_cast<double>(fp16.loss_scale_window));
  need_positive("min_loss_scale", static_cast<double>(fp16.min_loss_scale));
}

std::vector<std::string> read_names(const config::Node& node, const config::Rules& rules) {
  if (!node.json().is_array()) config::fail_value(node, "a list of texts");
  std::vector<std::string> names;
  for (const auto& name : node.children()) names.push_back(config::read_text(name, rules));
  return names;
}

}  // namespace

config::Schema<Fp16Config> fp16_schema() {
  config::Schema<Fp16Config> s("Training in half precision with loss scaling.");
  s.strict();
  s.field("enabled", &Fp16Config::enabled).doc("Parameters, activations and gradients in fp16.");
  s.field("loss_scale", &Fp16Config::loss_scale)
      .at_least(0)
      .no_bool()
      .doc("0: dynamic; above: a fixed scale.");
  s.field("initial_scale_power", &Fp16Config::initial_scale_power)
      .range(-126, 127)
      .doc("The dynamic scale starts at 2 to this power.");
  s.field("loss_scale_window", &Fp16Config::loss_scale_window)
      .at_least(0)
      .no_bool()
      .doc("Iterations without overflow before the scale doubles.");
  s.field("hysteresis", &Fp16Config::hysteresis)
      .at_least(0)
      .doc("Overflows tolerated before the scale halves.");
  s.field("consecutive_hysteresis", &Fp16Config::consecutive_hysteresis)
      .doc("Refill the hysteresis on every iteration without overflow.");
  s.field("min_loss_scale", &Fp16Config::min_loss_scale)
      .at_least(0)
      .no_bool()
      .doc("Floor of the dynamic scale.");
  s.field("auto_cast", &Fp16Config::auto_cast).doc("Cast floating-point inputs of the forward to fp16.");
  s.field("fp16_master_weights_and_grads", &Fp16Config::fp16_master_weights_and_grads)
      .doc("No fp32 copy of the weights (ZeRO with optimizer offload and Adam).");
  s.finish(check_dynamic);
  return s;
}

config::Schema<Bf16Config> bf16_schema() {
  config::Schema<Bf16Config> s("Training in bfloat16 with fp32 master weights.");
  s.strict();
  s.field("enabled", &Bf16Config::enabled).doc("Parameters, activations and gradients in bf16.");
  s.field("check_grad_overflow", &Bf16Config::check_grad_overflow)
      .doc("Skip a step whose gradients hold an infinity or NaN.");
  s.field("bf16_master_weights_and_grads", &Bf16Config::bf16_master_weights_and_grads)
      .doc("No fp32 copy of the weights (ZeRO, with bf16_optimizer_states or optimizer offload of Adam).");
  s.field("bf16_optimizer_states", &Bf16Config::bf16_optimizer_states)
      .doc("Optimizer moments in bf16 (with bf16_master_weights_and_grads).");
  s.custom("immediate_grad_update", "bool", false,
           [](const config::Node& node, Bf16Config&, const config::Rules& rules, config::Warnings&) {
             config::read_bool(node, rules);
           })
      .doc("Accepted; gradients are always summed as backward makes them.");
  return s;
}

config::Schema<AutocastConfig> autocast_schema() {
  config::Schema<AutocastConfig> s(
      "Mixed precision by libtorch's autocast: parameters, gradients and optimizer states in fp32, matrix "
      "products and attention in 16 bits.");
  s.field("enabled", &AutocastConfig::enabled).doc("Run every forward under autocast.");
  s.choice<config::DataType>("dtype", &AutocastConfig::dtype, config::data_type_names())
      .doc(
          "What is cast to; left out: bf16. fp16 brings dynamic loss scaling by the rule of "
          "torch.amp.GradScaler.")
      .nullable = false;
  config::Field& safe =
      s.custom("lower_precision_safe_modules", "list of texts", nullptr,
               [](const config::Node& node, AutocastConfig& autocast, const config::Rules& rules,
                  config::Warnings&) { autocast.lower_precision_safe_modules = read_names(node, rules); })
          .doc(
              "Classes such as \"torch.nn.Linear\" whose parameters' gradients are reduced in that format at "
              "stages 1 and 2; left out: Linear, Conv1d, Conv2d and Conv3d. What autocast casts in forward "
              "is its "
              "own affair.");
  safe.show = [](const void* target) {
    const auto& names = static_cast<const AutocastConfig*>(target)->lower_precision_safe_modules;
    return names ? config::Json(*names) : config::Json(nullptr);
  };
  return s;
}

}  // namespace deepspeed::optim
