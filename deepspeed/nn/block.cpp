#include "deepspeed/nn/block.h"

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {

// One forward that built a graph. Lives as long as the graph does.
class Block::Use : public std::enable_shared_from_this<Block::Use> {
 public:
  explicit Use(Block& block) : block_(&block), observers_(block.observers_) {}

  // A gradient is about to enter. The end-of-backward callback closes what the entry node did not: uses
  // without an input that needs a gradient, and inputs that no gradient reached.
  void open() {
    if (open_) return;
    open_ = true;
    closed_ = false;
    torch::autograd::Engine::get_default_engine().queue_callback([self = shared_from_this()] {
      self->close();
      self->open_ = false;  // a retained graph may be run backward again
    });
    for (const auto& observer : observers_) observer->before_backward(*block_);
  }

  void close() {
    if (!open_ || closed_) return;
    closed_ = true;
    for (const auto& observer : observers_) observer->after_backward(*block_);
  }

 private:
  Block* block_;
  std::vector<std::shared_ptr<BlockObserver>> observers_;
  bool open_ = false, closed_ = false;
};

namespace {

// Sits between a Block's inputs and what computed them: the engine runs it when every gradient of the inputs
// is complete, and, its sequence number being lower than the Block's own nodes', after all of those that are
// ready.
template <class Use>
struct EntryNode : torch::autograd::Node {
  std::shared_ptr<Use> use;
  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override {
    use->open();
    use->close();
    return std::move(grads);
  }
  std::string name() const override { return "BlockEntry"; }
};

// The same data with `node` as its history. The version counter is shared: in-place changes stay visible to
// autograd.
at::Tensor with_history(const at::Tensor& tensor, const std::shared_ptr<torch::autograd::Node>& node) {
  auto impl =
      tensor.unsafeGetTensorImpl()->shallow_copy_and_detach(tensor.unsafeGetTensorImpl()->version_counter(),
                                                            /*allow_tensor_metadata_change=*/true);
  at::Tensor copy(std::move(impl));
  torch::autograd::set_history(copy, node);
  return copy;
}

}  // namespace

std::shared_ptr<Block::Use> Block::begin_use(const TensorRefs& inputs) {
  for (const auto& observer : std::vector(observers_)) observer->before_forward(*this);
  if (!at::GradMode::is_enabled()) return nullptr;
  auto use = std::make_shared<Use>(*this);
  std::vector<at::Tensor*> differentiable;
  for (at::Tensor* input : inputs)
    if (input->defined() && input->requires_grad()) differentiable.push_back(input);
  if (!differentiable.empty()) {
    auto node = std::make_shared<EntryNode<Use>>();
    node->use = use;
    torch::autograd::variable_list sources;
    for (at::Tensor* input : differentiable) sources.push_back(*input);
    node->set_next_edges(torch::autograd::collect_next_edges(sources));
    for (at::Tensor* input : differentiable) *input = with_history(*input, node);
  }
  return use;
}

void Block::end_use(const std::shared_ptr<Use>& use, const TensorRefs& outputs) {
  if (use) {
    for (at::Tensor* output : outputs)
      if (output->defined() && output->requires_grad())
        output->register_hook([use](const at::Tensor&) { use->open(); });
  }
  for (const auto& observer : std::vector(observers_)) observer->after_forward(*this);
}

void Block::add_observer(std::shared_ptr<BlockObserver> observer) {
  observers_.push_back(std::move(observer));
}

void Block::remove_observer(const BlockObserver* observer) {
  std::erase_if(observers_, [&](const auto& kept) { return kept.get() == observer; });
}

at::Tensor Block::declare_parameter(const std::string& name, at::IntArrayRef shape, Init init) {
  at::Tensor unmaterialized = at::empty({0}, at::kFloat);
  unmaterialized.unsafeGetTensorImpl()->set_sizes_contiguous(shape);
  inits_.emplace_back(name, init);
  return as_module().register_parameter(name, std::move(unmaterialized));
}

void Block::forget_parameter(const std::string& name) {
  std::erase_if(inits_, [&](const auto& entry) { return entry.first == name; });
}

std::vector<std::pair<std::string, Block*>> blocks_of(torch::nn::Module& root) {
  std::vector<std::pair<std::string, Block*>> found;
  if (auto* block = dynamic_cast<Block*>(&root)) found.emplace_back("", block);
  for (const auto& entry : root.named_modules(/*name_prefix=*/"", /*include_self=*/false))
    if (auto* block = dynamic_cast<Block*>(entry.value().get())) found.emplace_back(entry.key(), block);
  return found;
}

}  // namespace deepspeed::nn
