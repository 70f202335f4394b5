#include "deepspeed/optim/schema.h"

#include <algorithm>
#include <set>

#include "deepspeed/base/error.h"
#include "deepspeed/config/not_yet.h"

namespace deepspeed::optim {
namespace {

using config::Json;
using config::Node;
using config::Rules;
using config::Warnings;

constexpr double kTorchAdamWWeightDecay = 0.01;
constexpr double kAdagradLr = 1e-2, kAdagradEps = 1e-10;

struct Type {
  const char* name;
  OptimizerType type;
  std::set<std::string> params;  // keyword arguments of DeepSpeed's classes, with and without offload
};

const std::vector<Type>& types() {
  static const std::set<std::string> kAdam{
      "adam_w_mode",   "amsgrad",       "betas",      "bias_correction", "eps", "fp32_optimizer_states", "lr",
      "max_grad_norm", "set_grad_none", "torch_adam", "weight_decay"};
  static const std::vector<Type> kTypes{
      {"Adam", OptimizerType::kAdam, kAdam},
      {"AdamW", OptimizerType::kAdamW, kAdam},
      {"Adagrad",
       OptimizerType::kAdagrad,
       {"amsgrad", "eps", "fp32_optimizer_states", "initial_accumulator_value", "lr", "lr_decay",
        "max_grad_norm", "weight_decay"}},
      {"Lion",
       OptimizerType::kLion,
       {"betas", "fp32_optimizer_states", "lr", "max_grad_norm", "set_grad_none", "weight_decay"}}};
  return kTypes;
}

// Types of DeepSpeed, of torch.optim and of the releases before 0.19.8 that have no implementation here yet.
const std::vector<std::string>& future_types() {
  static const std::vector<std::string> kTypes{
      "Lamb",       "Muon",    "MuAdam",   "MuAdamW",    "MuSGD",     "OneBitAdam", "ZeroOneAdam",
      "OneBitLamb", "SGD",     "Adadelta", "Adamax",     "ASGD",      "LBFGS",      "NAdam",
      "RAdam",      "RMSprop", "Rprop",    "SparseAdam", "Adafactor", "CPUAdam"};
  return kTypes;
}

void read_type(const Node& node, OptimizerConfig& optimizer, const Rules& rules, Warnings&) {
  std::string name = config::lower(config::read_text(node, rules));
  for (const Type& type : types()) {
    if (name != config::lower(type.name)) continue;
    optimizer.type = type.type;
    return;
  }
  for (const std::string& future : future_types())
    if (name == config::lower(future)) config::refuse_not_yet("optimizer " + future, node);
  std::vector<std::string> known = future_types();
  for (const Type& type : types()) known.emplace_back(type.name);
  auto near = config::nearest_name(name, known);
  base::fail(
      "{}: no such optimizer{}", node.describe(),
      near ? fmt::format("; did you mean \"{}\"?", *near) : "; Adam, AdamW, Adagrad and Lion are available");
}

config::Schema<OptimizerConfig> params_schema() {
  config::Schema<OptimizerConfig> s("Keys of Adam, AdamW, Adagrad and Lion.");
  s.field("lr", &OptimizerConfig::lr)
      .derived("type")
      .at_least(0)
      .doc("Learning rate, until a schedule sets it. Adagrad's default is 0.01.");
  s.field("betas", &OptimizerConfig::betas)
      .at_least(0)
      .below(1)
      .doc(
          "Adam: decay of the first and second moment. Lion: share of the moment in the step and in itself.");
  s.field("eps", &OptimizerConfig::eps)
      .derived("type")
      .at_least(0)
      .doc("Not Lion: added to the root of the second moment. Adagrad's default is 1e-10.");
  s.field("weight_decay", &OptimizerConfig::weight_decay)
      .derived("torch_adam")
      .at_least(0)
      .doc("0.01 is the default of decoupled torch_adam, as in torch.optim.AdamW.");
  s.field("bias_correction", &OptimizerConfig::bias_correction)
      .doc("Adam: correct the moments for their zero start.");
  s.field("adam_w_mode", &OptimizerConfig::adam_w_mode)
      .doc("Adam: decoupled weight decay (AdamW) unless false. AdamW is always decoupled.");
  s.field("torch_adam", &OptimizerConfig::torch_adam)
      .doc(
          "Asks for torch's own Adam; there is one implementation here, so only the default weight_decay "
          "changes.");
  s.field("lr_decay", &OptimizerConfig::lr_decay)
      .at_least(0)
      .doc("Adagrad without offload: the rate is divided by 1 + lr_decay * (step - 1).");
  s.field("initial_accumulator_value", &OptimizerConfig::initial_accumulator_value)
      .at_least(0)
      .doc("Adagrad without offload: what the sums of squares start from.");
  s.field("fp32_optimizer_states", &OptimizerConfig::fp32_optimizer_states)
      .doc("False, which needs optimizer offload, keeps the states of 16-bit master weights in 16 bits.");
  s.custom("max_grad_norm", "number", nullptr,
           [](const Node& node, OptimizerConfig&, const Rules&, Warnings&) {
             base::fail(
                 "{}: the optimizer does not clip; write \"gradient_clipping\" at the top level instead",
                 node.describe());
           })
      .doc("Refused: clipping is the top-level key gradient_clipping.");
  return s;
}

void check_names(const Node& params, const Type& type) {
  for (const Node& param : params.children())
    DS_CHECK(type.params.contains(param.key()), "{}: {} has no such parameter; it has {}", param.describe(),
             type.name, fmt::join(type.params, ", "));
}

void finish_optimizer(const Node& block, OptimizerConfig& optimizer, Warnings&) {
  auto params = block.find("params");
  DS_CHECK(optimizer.type || !params || params->json().empty(),
           "{} has params but no type ({}): write \"type\": \"AdamW\"", block.path(), block.where());
  if (!optimizer.type) return;
  const auto type = std::ranges::find(types(), *optimizer.type, &Type::type);
  if (params) check_names(*params, *type);
  const auto given = [&](const char* key) { return params && params->find(key); };
  if (optimizer.torch_adam && optimizer.decoupled_weight_decay() && !given("weight_decay"))
    optimizer.weight_decay = kTorchAdamWWeightDecay;
  if (*optimizer.type != OptimizerType::kAdagrad) return;
  if (!given("lr")) optimizer.lr = kAdagradLr;
  if (!given("eps")) optimizer.eps = kAdagradEps;
}

}  // namespace

config::Schema<OptimizerConfig> optimizer_schema() {
  config::Schema<OptimizerConfig> s("The optimizer; left out when the program brings its own.");
  s.custom("type", "Adam | AdamW | Adagrad | Lion | null", nullptr, read_type)
      .doc("Without regard to case. Adam means AdamW, see adam_w_mode.")
      .nullable = true;
  config::Field& params = s.same_object("params", params_schema());
  params.doc("Parameters of the type.").nullable = true;
  s.finish(finish_optimizer);
  return s;
}

}  // namespace deepspeed::optim
