#include "deepspeed/ops/attention.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/attention_kernel.h"
#include "deepspeed/ops/cpu/dropout_kernel.h"
#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

std::string shape(const at::Tensor& t) { return fmt::format("[{}]", fmt::join(t.sizes(), ",")); }

void check_first_key(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const at::Tensor& first = options.first_key;
  DS_CHECK(options.causal, "attention: first_key is for causal attention only");
  DS_CHECK(first.scalar_type() == at::kInt && first.device() == q.device() && first.is_contiguous() &&
               first.sizes() == at::IntArrayRef({q.size(0), q.size(2)}),
           "attention: first_key is {} {} on {}; want a contiguous int32 [{},{}] on {}", shape(first),
           c10::toString(first.scalar_type()), first.device().str(), q.size(0), q.size(2), q.device().str());
  if (!first.is_cpu()) return;  // the host would wait for its values
  const int64_t length = q.size(2), offset = k.size(2) - length;
  const auto* key = first.const_data_ptr<int32_t>();
  for (int64_t i = 0; i < first.numel(); ++i) {
    const int64_t t = i % length, least = t == 0 ? 0 : key[i - 1];
    DS_CHECK(key[i] >= least && key[i] <= offset + t,
             "attention: first_key[{},{}] is {}; want one from {} to the query's position {}", i / length, t,
             key[i], least, offset + t);
  }
}

void check_end_key(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const at::Tensor& end = options.end_key;
  DS_CHECK(!options.first_key.defined() && options.window == 0,
           "attention: end_key goes neither with first_key nor with a window");
  DS_CHECK(end.scalar_type() == at::kInt && end.device() == q.device() && end.is_contiguous() &&
               end.sizes() == at::IntArrayRef({q.size(0)}),
           "attention: end_key is {} {} on {}; want a contiguous int32 [{}] on {}", shape(end),
           c10::toString(end.scalar_type()), end.device().str(), q.size(0), q.device().str());
  if (!end.is_cpu()) return;
  const auto* key = end.const_data_ptr<int32_t>();
  for (int64_t b = 0; b < end.numel(); ++b)
    DS_CHECK(key[b] >= 1 && key[b] <= k.size(2),
             "attention: end_key[{}] is {}; want one from 1 to the {} keys", b, key[b], k.size(2));
}

void check_bias(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const at::Tensor& bias = options.bias;
  DS_CHECK(options.softcap == 0, "attention: softcap does not go with a bias");
  DS_CHECK(bias.is_floating_point() && bias.device() == q.device() && bias.dim() == 4 &&
               (bias.size(0) == 1 || bias.size(0) == q.size(0)) && bias.size(1) == q.size(1) &&
               bias.size(2) == q.size(2) && bias.size(3) == k.size(2),
           "attention: bias is {} {} on {}; want floats [1 or {},{},{},{}] on {}", shape(bias),
           c10::toString(bias.scalar_type()), bias.device().str(), q.size(0), q.size(1), q.size(2), k.size(2),
           q.device().str());
}

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  DS_CHECK(q.dim() == 4 && k.dim() == 4 && v.dim() == 4,
           "attention: q {}, k {}, v {} must be [batch, heads, length, head size]", shape(q), shape(k),
           shape(v));
  DS_CHECK(k.sizes() == v.sizes() && q.size(0) == k.size(0) && q.size(3) == k.size(3) && k.size(1) > 0 &&
               q.size(1) % k.size(1) == 0,
           "attention: q {}, k {}, v {} do not fit; want [B,H,T,D] and twice [B,Hkv,S,D] with H % Hkv == 0",
           shape(q), shape(k), shape(v));
  const bool positions = options.causal || options.window > 0 || options.alibi_slopes.defined();
  DS_CHECK(
      !positions || k.size(2) >= q.size(2),
      "attention: {} queries of {} keys have no positions among them; want S >= T where positions matter",
      q.size(2), k.size(2));
  DS_CHECK(
      q.scalar_type() == k.scalar_type() && q.scalar_type() == v.scalar_type() &&
          (q.scalar_type() == at::kFloat || q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf),
      "attention: q, k, v are {}, {}, {}; want one of float32, bfloat16, float16 for all three",
      c10::toString(q.scalar_type()), c10::toString(k.scalar_type()), c10::toString(v.scalar_type()));
  DS_CHECK((q.is_cpu() || q.is_cuda()) && k.device() == q.device() && v.device() == q.device(),
           "attention: q is on {}, k on {}, v on {}; want one CPU or GPU for all three", q.device().str(),
           k.device().str(), v.device().str());
  DS_CHECK(options.dropout_p >= 0 && options.dropout_p <= 1, "attention: dropout_p {} is outside [0, 1]",
           options.dropout_p);
  DS_CHECK(options.window >= 0, "attention: window {} is negative; 0 means none", options.window);
  DS_CHECK(options.softcap >= 0, "attention: softcap {} is negative; 0 means none", options.softcap);
  DS_CHECK(options.softcap == 0 || !options.alibi_slopes.defined(),
           "attention: softcap does not go with alibi_slopes");
  if (options.bias.defined()) check_bias(q, k, options);
  if (options.first_key.defined()) check_first_key(q, k, options);
  if (options.end_key.defined()) check_end_key(q, k, options);
  const at::Tensor& slopes = options.alibi_slopes;
  DS_CHECK(!slopes.defined() || (slopes.dim() == 1 && slopes.size(0) == q.size(1) && slopes.is_contiguous() &&
                                 slopes.scalar_type() == at::kFloat && slopes.device() == q.device()),
           "attention: alibi_slopes must be contiguous float32 [{}] where q is, one slope a query head",
           q.size(1));
}

cpu::AttentionKernel kernel() {
  switch (chosen_isa("attention")) {
    case base::Isa::kAvx2:
      return cpu::attention_avx2();
    case base::Isa::kAvx512:
      return cpu::attention_avx512();
    default:
      return cpu::attention_scalar();
  }
}

at::Tensor unit_last_stride(const at::Tensor& t) {
  return t.stride(3) == 1 || t.size(3) == 1 ? t : t.contiguous();
}

cpu::HeadView view(const at::Tensor& t) { return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)}; }

/// A new [B,H,T,D] over memory in the order [B,T,H,D].
at::Tensor empty_by_position(const at::Tensor& like) {
  return at::empty({like.size(0), like.size(2), like.size(1), like.size(3)},
                   like.options().requires_grad(false))
      .transpose(1, 2);
}

cpu::AttentionArgs arguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const AttentionOptions& options) {
  cpu::AttentionArgs a{};
  a.batch = q.size(0);
  a.heads = q.size(1);
  a.kv_heads = k.size(1);
  a.queries = q.size(2);
  a.keys = k.size(2);
  a.dim = q.size(3);
  a.bf16 = q.scalar_type() == at::kBFloat16;
  a.causal = options.causal;
  a.window = options.window;
  if (options.first_key.defined()) a.first_key = options.first_key.const_data_ptr<int32_t>();
  if (options.end_key.defined()) a.end_key = options.end_key.const_data_ptr<int32_t>();
  a.alibi_slopes = options.alibi_slopes.defined() ? options.alibi_slopes.const_data_ptr<float>() : nullptr;
  a.scale = static_cast<float>(options.scale.value_or(1.0 / std::sqrt(static_cast<double>(a.dim))));
  a.softcap = static_cast<float>(options.softcap);
  a.q = view(q);
  a.k = view(k);
  a.v = view(v);
  const cpu::DropoutMask mask = cpu::dropout_mask(options.dropout_p, options.rng.seed, options.rng.stream);
  a.dropout = options.dropout_p > 0;
  a.seed = mask.seed;
  a.stream = mask.stream;
  a.drop_threshold = mask.threshold;
  a.keep_scale = mask.keep_scale;
  return a;
}

using Work = void (*)(const cpu::AttentionArgs&, int64_t begin, int64_t end, float* scratch);

void run(const cpu::AttentionArgs& a, int64_t items, int64_t scratch_floats, Work work) {
  if (items == 0 || a.queries == 0 || a.dim == 0) return;
  const int64_t parts = std::min<int64_t>(items, at::get_num_threads());
  const int64_t share = (items + parts - 1) / parts, floats = (scratch_floats + 15) / 16 * 16;
  // libtorch's allocator aligns to 64 bytes.
  const at::Tensor scratch = at::empty({parts, floats}, at::kFloat);
  float* memory = scratch.mutable_data_ptr<float>();
  parallel_ranges(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      if (part * share < items)
        work(a, part * share, std::min(items, (part + 1) * share), memory + part * floats);
  });
}

struct Result {
  at::Tensor out, log_sum_exp;
};

Result forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options,
               bool keep_log_sum_exp) {
  Result r{empty_by_position(q), {}};
  cpu::AttentionArgs a = arguments(q, k, v, options);
  a.out = view(r.out);
  if (keep_log_sum_exp) {
    r.log_sum_exp = at::empty({a.batch, a.heads, a.queries}, at::kFloat);
    a.log_sum_exp = r.log_sum_exp.mutable_data_ptr<float>();
  }
  const cpu::AttentionKernel f = kernel();
  run(a, a.batch * a.heads, f.forward_scratch(a), f.forward);
  return r;
}

/// The gradients go where grad_q, grad_k and grad_v view.
void backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Result& saved,
              const at::Tensor& grad_out, const std::array<at::Tensor, 3>& grads,
              const AttentionOptions& options) {
  DS_CHECK(!at::GradMode::is_enabled(),
           "attention: its gradient cannot be differentiated; do not pass create_graph");
  cpu::AttentionArgs a = arguments(q, k, v, options);
  const at::Tensor readable = unit_last_stride(grad_out);
  a.out = view(saved.out);
  a.log_sum_exp = saved.log_sum_exp.data_ptr<float>();
  a.grad_out = view(readable);
  a.grad_q = view(grads[0]);
  a.grad_k = view(grads[1]);
  a.grad_v = view(grads[2]);
  const cpu::AttentionKernel f = kernel();
  run(a, a.batch * a.kv_heads, f.backward_scratch(a), f.backward);
}

void save_options(AutogradContext* context, const AttentionOptions& options) {
  auto& data = context->saved_data;
  data["causal"] = options.causal;
  if (options.scale) data["scale"] = *options.scale;
  data["p"] = options.dropout_p;
  data["seed"] = static_cast<int64_t>(options.rng.seed);
  data["stream"] = static_cast<int64_t>(options.rng.stream);
  data["window"] = options.window;
  data["softcap"] = options.softcap;
  if (options.first_key.defined()) data["first_key"] = options.first_key;
  if (options.end_key.defined()) data["end_key"] = options.end_key;
  if (options.alibi_slopes.defined()) data["alibi_slopes"] = options.alibi_slopes;
}

AttentionOptions saved_options(AutogradContext* context) {
  auto& data = context->saved_data;
  AttentionOptions options;
  options.causal = data["causal"].toBool();
  if (const auto scale = data.find("scale"); scale != data.end()) options.scale = scale->second.toDouble();
  options.dropout_p = data["p"].toDouble();
  options.rng = {static_cast<uint64_t>(data["seed"].toInt()), static_cast<uint64_t>(data["stream"].toInt())};
  options.window = data["window"].toInt();
  options.softcap = data["softcap"].toDouble();
  if (const auto first = data.find("first_key"); first != data.end())
    options.first_key = first->second.toTensor();
  if (const auto end = data.find("end_key"); end != data.end()) options.end_key = end->second.toTensor();
  if (const auto slopes = data.find("alibi_slopes"); slopes != data.end())
    options.alibi_slopes = slopes->second.toTensor();
  return options;
}

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const AttentionOptions& options) {
    const Result r = ops::forward(q, k, v, options, true);
    context->save_for_backward({q, k, v, r.out, r.log_sum_exp});
    save_options(context, options);
    return r.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const std::array<at::Tensor, 3> inputs{empty_by_position(saved[0]), empty_by_position(saved[1]),
                                           empty_by_position(saved[2])};
    ops::backward(saved[0], saved[1], saved[2], {saved[3], saved[4]}, grads[0], inputs,
                  saved_options(context));
    return {inputs[0], inputs[1], inputs[2], Variable()};
  }
};

/// The queries (part 0), keys (1) or values (2) of [B,T,3*H*D] as [B,H,T,D].
at::Tensor part_of(const at::Tensor& fused, int64_t heads, int64_t part) {
  const int64_t b = fused.size(0), t = fused.size(1), width = fused.size(2) / 3, d = width / heads;
  const int64_t offset = fused.storage_offset() + part * width;
  return fused.as_strided({b, heads, t, d}, {fused.stride(0), d, fused.stride(1), 1}, offset);
}

struct FusedAttention : torch::autograd::Function<FusedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv, int64_t heads,
                            const AttentionOptions& options) {
    const Result r =
        ops::forward(part_of(qkv, heads, 0), part_of(qkv, heads, 1), part_of(qkv, heads, 2), options, true);
    const at::Tensor out = r.out.transpose(1, 2).view({qkv.size(0), qkv.size(1), qkv.size(2) / 3});
    context->save_for_backward({qkv, out, r.log_sum_exp});
    save_options(context, options);
    context->saved_data["heads"] = heads;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &qkv = saved[0], grad = at::empty(qkv.sizes(), qkv.options().requires_grad(false));
    const int64_t heads = context->saved_data["heads"].toInt();
    const auto split = [&](const at::Tensor& t) {
      return t.view({t.size(0), t.size(1), heads, -1}).transpose(1, 2);
    };
    const at::Tensor grad_out = grads[0].stride(2) == 1 ? grads[0] : grads[0].contiguous();
    ops::backward(part_of(qkv, heads, 0), part_of(qkv, heads, 1), part_of(qkv, heads, 2),
                  {split(saved[1]), saved[2]}, split(grad_out),
                  {part_of(grad, heads, 0), part_of(grad, heads, 1), part_of(grad, heads, 2)},
                  saved_options(context));
    return {grad, Variable(), Variable()};
  }
};

bool needs_gradient(const at::Tensor& t) { return at::GradMode::is_enabled() && t.requires_grad(); }

}  // namespace

at::Tensor alibi_slopes(int64_t heads) {
  DS_CHECK(heads > 0, "alibi_slopes: {} heads", heads);
  int64_t power = 1;
  while (power * 2 <= heads) power *= 2;
  at::Tensor slopes = at::empty({heads}, at::kFloat);
  float* slope = slopes.mutable_data_ptr<float>();
  for (int64_t i = 0; i < heads; ++i) {
    const auto n = static_cast<double>(power);
    const auto exponent =
        i < power ? static_cast<double>(i + 1) / n : static_cast<double>(2 * (i - power) + 1) / (2 * n);
    slope[i] = static_cast<float>(std::exp2(-8 * exponent));
  }
  return slopes;
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options) {
  if (accel::Autocast::current()) {
    const at::Tensor a = accel::autocast(q), b = accel::autocast(k), c = accel::autocast(v);
    const accel::Autocast off(std::nullopt);
    return attention(a, b, c, options);
  }
  check(q, k, v, options);
  if (q.is_cuda()) return formula::attention(q, k, v, options);
  if (q.scalar_type() == at::kHalf) {
    return attention(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), options).to(at::kHalf);
  }
  if (options.bias.defined()) return formula::attention(q, k, v, options);
  const at::Tensor q1 = unit_last_stride(q), k1 = unit_last_stride(k), v1 = unit_last_stride(v);
  if (needs_gradient(q) || needs_gradient(k) || needs_gradient(v))
    return Attention::apply(q1, k1, v1, options);
  return forward(q1, k1, v1, options, false).out;
}

at::Tensor attention_fused(const at::Tensor& qkv, int64_t heads, const AttentionOptions& options) {
  DS_CHECK(qkv.dim() == 3 && heads > 0 && qkv.size(2) % (3 * heads) == 0,
           "attention_fused: qkv {} with {} heads; want [batch, length, 3 * heads * head size]", shape(qkv),
           heads);
  DS_CHECK(!options.bias.defined(), "attention_fused: takes no bias; use attention");
  if (qkv.is_cuda()) {
    const auto parts = qkv.reshape({qkv.size(0), qkv.size(1), 3, heads, -1}).unbind(2);
    const at::Tensor out =
        attention(parts[0].transpose(1, 2), parts[1].transpose(1, 2), parts[2].transpose(1, 2), options);
    return out.transpose(1, 2).reshape({qkv.size(0), qkv.size(1), qkv.size(2) / 3});
  }
  if (accel::Autocast::current()) {
    const at::Tensor cast = accel::autocast(qkv);
    const accel::Autocast off(std::nullopt);
    return attention_fused(cast, heads, options);
  }
  if (qkv.scalar_type() == at::kHalf)
    return attention_fused(qkv.to(at::kFloat), heads, options).to(at::kHalf);
  const at::Tensor readable = qkv.stride(2) == 1 ? qkv : qkv.contiguous();
  const at::Tensor q = part_of(readable.detach(), heads, 0);
  check(q, q, q, options);
  if (needs_gradient(qkv)) return FusedAttention::apply(readable, heads, options);
  const at::Tensor out =
      forward(q, part_of(readable.detach(), heads, 1), part_of(readable.detach(), heads, 2), options, false)
          .out;
  return out.transpose(1, 2).view({qkv.size(0), qkv.size(1), qkv.size(2) / 3});
}

}  // namespace deepspeed::ops
