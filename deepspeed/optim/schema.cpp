#include "deepspeed/optim/schema.h"

#include "deepspeed/base/error.h"
#include "deepspeed/config/not_yet.h"

namespace deepspeed::optim {
namespace {

using config::Json;
using config::Node;
using config::Rules;
using config::Warnings;

constexpr double kTorchAdamWWeightDecay = 0.01;

// Types of DeepSpeed, of torch.optim and of the releases before 0.19.8 that have no implementation here yet.
const std::vector<std::string>& future_types() {
  static const std::vector<std::string> kTypes{
      "Adagrad",     "Lamb",       "Lion",  "Muon",       "MuAdam",    "MuAdamW", "MuSGD", "OneBitAdam",
      "ZeroOneAdam", "OneBitLamb", "SGD",   "Adadelta",   "Adamax",    "ASGD",    "LBFGS", "NAdam",
      "RAdam",       "RMSprop",    "Rprop", "SparseAdam", "Adafactor", "CPUAdam"};
  return kTypes;
}

void read_type(const Node& node, OptimizerConfig& optimizer, const Rules& rules, Warnings&) {
  std::string name = config::lower(config::read_text(node, rules));
  if (name == "adam" || name == "adamw") {
    optimizer.type = name == "adam" ? OptimizerType::kAdam : OptimizerType::kAdamW;
    return;
  }
  for (const std::string& future : future_types())
    if (name == config::lower(future)) config::refuse_not_yet("optimizer " + future, node);
  std::vector<std::string> known = future_types();
  known.insert(known.end(), {"Adam", "AdamW"});
  auto near = config::nearest_name(name, known);
  base::fail("{}: no such optimizer{}", node.describe(),
             near ? fmt::format("; did you mean \"{}\"?", *near) : "; Adam and AdamW are available");
}

config::Schema<OptimizerConfig> params_schema() {
  config::Schema<OptimizerConfig> s("Keys of Adam and AdamW.");
  s.field("lr", &OptimizerConfig::lr).at_least(0).doc("Learning rate, until a schedule sets it.");
  s.field("betas", &OptimizerConfig::betas).at_least(0).below(1).doc("Decay of the first and second moment.");
  s.field("eps", &OptimizerConfig::eps).at_least(0).doc("Added to the root of the second moment.");
  s.field("weight_decay", &OptimizerConfig::weight_decay)
      .derived("torch_adam")
      .at_least(0)
      .doc("0.01 is the default of decoupled torch_adam, as in torch.optim.AdamW.");
  s.field("bias_correction", &OptimizerConfig::bias_correction)
      .doc("Correct the moments for their zero start.");
  s.field("adam_w_mode", &OptimizerConfig::adam_w_mode)
      .doc("Adam: decoupled weight decay (AdamW) unless false. AdamW is always decoupled.");
  s.field("torch_adam", &OptimizerConfig::torch_adam)
      .doc(
          "Asks for torch's own Adam; there is one implementation here, so only the default weight_decay "
          "changes.");
  s.custom("max_grad_norm", "number", nullptr,
           [](const Node& node, OptimizerConfig&, const Rules&, Warnings&) {
             base::fail(
                 "{}: the optimizer does not clip; write \"gradient_clipping\" at the top level instead",
                 node.describe());
           })
      .doc("Refused: clipping is the top-level key gradient_clipping.");
  return s;
}

void finish_optimizer(const Node& block, OptimizerConfig& optimizer, Warnings&) {
  auto params = block.find("params");
  DS_CHECK(optimizer.type || !params || params->json().empty(),
           "{} has params but no type ({}): write \"type\": \"AdamW\"", block.path(), block.where());
  bool given = params && params->find("weight_decay");
  if (optimizer.torch_adam && optimizer.decoupled_weight_decay() && !given)
    optimizer.weight_decay = kTorchAdamWWeightDecay;
}

}  // namespace

config::Schema<OptimizerConfig> optimizer_schema() {
  config::Schema<OptimizerConfig> s("The optimizer; left out when the program brings its own.");
  s.custom("type", "Adam | AdamW | null", nullptr, read_type)
      .doc("Without regard to case. Adam means AdamW, see adam_w_mode.")
      .nullable = true;
  config::Field& params = s.same_object("params", params_schema());
  params.doc("Parameters of the type.").nullable = true;
  s.finish(finish_optimizer);
  return s;
}

}  // namespace deepspeed::optim
