#include "deepspeed/zero/fetch_units.h"

#include <c10/util/Type.h>

#include <algorithm>
#include <unordered_set>

namespace deepspeed::zero {
namespace {

// "deepspeed::nn::Mlp" answers to itself and to "Mlp", a C++ name as little Python-like as it may be.
bool has_class(const torch::nn::Module& module, const std::string& wanted) {
  const std::string type = c10::demangle(typeid(module).name());
  const size_t at = type.rfind(':');
  return wanted == type || wanted == (at == std::string::npos ? type : type.substr(at + 1));
}

bool is_leaf(const torch::nn::Module& module, const std::string& name, const Stage3Config& config) {
  const auto any = [](const std::vector<std::string>& list, const auto& fits) {
    return std::any_of(list.begin(), list.end(), fits);
  };
  if (any(config.leaf_module.classes, [&](const std::string& wanted) { return has_class(module, wanted); }))
    return true;
  if (any(config.leaf_module.names, [&](const std::string& wanted) { return name == wanted; })) return true;
  return any(config.leaf_module.name_suffixes,
             [&](const std::string& suffix) { return name.ends_with(suffix); });
}

// As DeepSpeed's z3_leaf by granularity: few elements a module, counted with everything below it.
bool is_fine_grained(const torch::nn::Module& module, const Stage3Config& config) {
  if (config.module_granularity_threshold <= 0) return false;
  int64_t elements = 0, modules = 1;
  for (const auto& p : module.parameters()) elements += p.numel();
  for (const auto& m : module.modules(/*include_self=*/false)) modules += m != nullptr ? 1 : 0;
  return modules > 1 && elements / modules < config.module_granularity_threshold;
}

class Walk {
 public:
  explicit Walk(const Stage3Config& config) : config_(config) {}

  void visit(torch::nn::Module& module, const std::string& name, std::vector<at::Tensor>* owner) {
    if (!visited_.insert(&module).second) return;  // a module that has two names
    auto* block = dynamic_cast<nn::Block*>(&module);
    BlockToFetch mine{block, name, {}};
    std::vector<at::Tensor>* needs = block != nullptr ? &mine.parameters : owner;
    const size_t place = found_.size();
    if (block != nullptr) {
      found_.push_back({});
      for (const auto& used : block->used_parameters()) mine.parameters.push_back(used);
    }
    const bool leaf =
        block != nullptr && (is_leaf(module, name, config_) || is_fine_grained(module, config_));
    if (needs != nullptr)
      for (const auto& p : module.parameters(/*recurse=*/leaf)) needs->push_back(p);
    if (leaf)
      take_used(module, mine.parameters);
    else
      for (const auto& child : module.named_children())
        visit(*child.value(), name.empty() ? child.key() : name + "." + child.key(), needs);
    if (block != nullptr) found_[place] = std::move(mine);
  }

  std::vector<BlockToFetch> found_;

 private:
  // What Blocks below a leaf use of others'.
  static void take_used(const torch::nn::Module& leaf, std::vector<at::Tensor>& into) {
    for (const auto& module : leaf.modules(/*include_self=*/false))
      if (const auto* block = dynamic_cast<const nn::Block*>(module.get()))
        into.insert(into.end(), block->used_parameters().begin(), block->used_parameters().end());
  }

  const Stage3Config& config_;
  std::unordered_set<const torch::nn::Module*> visited_;
};

}  // namespace

std::vector<BlockToFetch> blocks_to_fetch(torch::nn::Module& model, const Stage3Config& config) {
  Walk walk(config);
  walk.visit(model, "", nullptr);
  return std::move(walk.found_);
}

}  // namespace deepspeed::zero
