#include "deepspeed/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/graph_task.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/accel/gradient_place.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/cross_entropy_tiles.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/pending_gradient.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kOp = "linear_cross_entropy";

thread_local double current_factor = 1;

const cpu::SoftmaxKernels& kernels() {
  static const cpu::SoftmaxKernels& chosen =
      kernels_for(chosen_isa(kOp), cpu::kSoftmaxScalar, cpu::kSoftmaxAvx2, cpu::kSoftmaxAvx512);
  return chosen;
}

void check(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
           const at::Tensor& bias) {
  element_of(kOp, "hidden", hidden);
  element_of(kOp, "weight", weight);
  DS_CHECK(hidden.is_cpu() || hidden.is_cuda(), "{}: hidden is on {}; only CPUs and GPUs compute it", kOp,
           hidden.device().str());
  DS_CHECK(weight.device() == hidden.device(), "{}: weight is on {}, hidden on {}", kOp,
           weight.device().str(), hidden.device().str());
  DS_CHECK(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1) && weight.numel() > 0,
           "{}: hidden must be [N, C] and weight [V, C] with the same C, they are [{}] and [{}]", kOp,
           fmt::join(hidden.sizes(), ", "), fmt::join(weight.sizes(), ", "));
  DS_CHECK(labels.defined() && labels.device() == hidden.device() && labels.scalar_type() == at::kLong,
           "{}: labels must be an int64 tensor where hidden is", kOp);
  DS_CHECK(labels.dim() == 1 && labels.size(0) == hidden.size(0),
           "{}: labels must be [{}] as hidden has rows, they are [{}]", kOp, hidden.size(0),
           fmt::join(labels.sizes(), ", "));
  if (!bias.defined()) return;
  element_of(kOp, "bias", bias);
  DS_CHECK(bias.dim() == 1 && bias.size(0) == weight.size(0), "{}: bias must have shape [{}], it has [{}]",
           kOp, weight.size(0), fmt::join(bias.sizes(), ", "));
}

/// The rows whose labels count. Every label is checked.
std::vector<int64_t> counted_rows(const at::Tensor& labels, int64_t vocabulary, int64_t ignore_index) {
  std::vector<int64_t> rows;
  const int64_t* values = labels.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < labels.size(0); ++i) {
    if (values[i] == ignore_index) continue;
    DS_CHECK(values[i] >= 0 && values[i] < vocabulary,
             "{}: label {} at position {} is outside the vocabulary of {}", kOp, values[i], i, vocabulary);
    rows.push_back(i);
  }
  return rows;
}

struct Outcome {
  at::Tensor loss, hidden, weight, bias;  // the gradients are undefined where not wanted
};

// A gradient as backward keeps it, in `place` if it can be: fp16 waits for the loss scale in fp32, which it
// would not survive in fp16.
at::Tensor kept(const at::Tensor& gradient, at::ScalarType type, const at::Tensor& place = {}) {
  if (!gradient.defined() || type != at::kBFloat16) return gradient;
  return place.defined() ? at::Tensor(place).copy_(gradient) : gradient.to(type);
}

// What to compute with, beside the tensors.
struct Rule {
  int64_t ignore_index;
  double softcap;
};

Outcome compute(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                const at::Tensor& bias, const Rule& rule, bool want_hidden, bool want_weight) {
  const at::Tensor all = labels.contiguous();
  const std::vector<int64_t> rows = counted_rows(all, weight.size(0), rule.ignore_index);
  const int64_t n = static_cast<int64_t>(rows.size());
  const auto options = hidden.options().dtype(at::kFloat);
  Outcome out;
  if (n == 0) {
    out.loss = at::full({}, std::numeric_limits<float>::quiet_NaN(), options);
    if (want_hidden) out.hidden = at::zeros_like(hidden);
    if (want_weight) out.weight = at::zeros_like(weight);
    if (want_weight && bias.defined()) out.bias = at::zeros_like(bias);
    return out;
  }
  const bool some = n < hidden.size(0);
  const at::Tensor index = some ? at::tensor(rows) : at::Tensor();
  const at::Tensor place = want_weight ? accel::gradient_place(weight) : at::Tensor();
  const CrossEntropyInputs in{.hidden = some ? hidden.index_select(0, index) : hidden,
                              .weight = weight,
                              .labels = some ? all.index_select(0, index) : all,
                              .bias = bias,
                              .softcap = rule.softcap,
                              .factor = LossFactor::current(),
                              .weight_gradient = weight.scalar_type() == at::kFloat ? place : at::Tensor()};
  CrossEntropyResult result = cross_entropy(kernels(), in, want_hidden, want_weight);
  out.loss = at::full({}, static_cast<float>(result.loss / static_cast<double>(n)), options);
  if (some && want_hidden)
    result.hidden = at::zeros(hidden.sizes(), options).index_copy_(0, index, result.hidden);
  out.hidden = kept(result.hidden, hidden.scalar_type());
  out.weight = kept(result.weight, weight.scalar_type(), place);
  if (result.bias.defined()) out.bias = kept(result.bias, bias.scalar_type());
  return out;
}

// The gradients, until backward takes them: alone with them, autograd may add to them in place.
struct Gradients : torch::CustomClassHolder {
  at::Tensor hidden, weight, bias;
};

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& weight,
                            const at::Tensor& labels, const Rule& rule,
                            const std::optional<at::Tensor>& bias) {
    const at::Tensor added = bias.value_or(at::Tensor());
    const bool want_weight = weight.requires_grad() || (added.defined() && added.requires_grad());
    Outcome out = compute(hidden, weight, labels, added, rule, hidden.requires_grad(), want_weight);
    auto gradients = c10::make_intrusive<Gradients>();
    gradients->hidden = std::move(out.hidden);
    gradients->weight = std::move(out.weight);
    gradients->bias = std::move(out.bias);
    ctx->saved_data["gradients"] = c10::IValue::make_capsule(std::move(gradients));
    ctx->save_for_backward({labels});  // a second backward without retain_graph is refused by asking for it
    ctx->saved_data["hidden_type"] = hidden.scalar_type();
    ctx->saved_data["weight_type"] = weight.scalar_type();
    if (added.defined()) ctx->saved_data["bias_type"] = added.scalar_type();
    ctx->saved_data["factor"] = LossFactor::current();
    ctx->saved_data["leaf"] = leaf_identity(weight);
    return out.loss;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    refuse_second_derivative(kOp);
    ctx->get_saved_variables();
    const auto capsule = ctx->saved_data["gradients"].toCapsule();
    auto& saved = static_cast<Gradients&>(*capsule);
    const double factor = upstream[0].item<double>() / ctx->saved_data["factor"].toDouble();
    // Without retain_graph nobody will read what was kept again, so that it may become the gradient itself.
    const bool last = !torch::autograd::get_current_graph_task_keep_graph();
    // Inputs are counted among the tensors given: hidden, weight, labels, bias.
    auto gradient = [&](at::Tensor& kept, size_t input, const char* type) {
      if (!kept.defined() || !ctx->needs_input_grad(input)) return at::Tensor();
      at::Tensor g = last ? std::move(kept) : kept.clone();
      if (std::abs(factor - 1) > 1e-7) g.mul_(factor);  // the incoming gradient is a rounded product
      return g.scalar_type() == ctx->saved_data[type].toScalarType()
                 ? g
                 : g.to(ctx->saved_data[type].toScalarType());
    };
    variable_list gradients(5);
    gradients[0] = gradient(saved.hidden, 0, "hidden_type");
    gradients[1] = gradient(saved.weight, 1, "weight_type");
    gradients[4] = gradient(saved.bias, 3, "bias_type");
    if (gradients[1].defined()) announce_gradient(ctx->saved_data["leaf"].toInt(), gradients[1]);
    return gradients;
  }
};

}  // namespace

LossFactor::LossFactor(double factor) : outer_(std::exchange(current_factor, factor)) {}
LossFactor::~LossFactor() { current_factor = outer_; }
double LossFactor::current() { return current_factor; }

at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                int64_t ignore_index, const std::optional<at::Tensor>& bias, double softcap) {
  const at::Tensor added = bias.value_or(at::Tensor());
  check(hidden, weight, labels, added);
  DS_CHECK(softcap >= 0, "{}: softcap {} is negative; 0 means none", kOp, softcap);
  if (hidden.is_cuda())
    return formula::linear_cross_entropy(hidden, weight, labels, ignore_index, added, softcap);
  if (accel::Autocast::current()) {
    const at::Tensor h = accel::autocast(hidden), w = accel::autocast(weight), b = accel::autocast(added);
    const accel::Autocast off(std::nullopt);
    return linear_cross_entropy(h, w, labels, ignore_index, b.defined() ? std::optional(b) : std::nullopt,
                                softcap);
  }
  const Rule rule{ignore_index, softcap};
  if (wants_grad({hidden, weight}) || (added.defined() && wants_grad({added})))
    return LinearCrossEntropy::apply(hidden, weight, labels, rule, bias);
  return compute(hidden, weight, labels, added, rule, false, false).loss;
}

}  // namespace deepspeed::ops
