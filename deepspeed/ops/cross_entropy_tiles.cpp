#include "deepspeed/ops/cross_entropy_tiles.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "deepspeed/ops/huge_pages.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/matmul.h"

namespace deepspeed::ops {
namespace {

constexpr int64_t kTileFloats = int64_t{128} << 18, kBlockFloats = int64_t{1} << 18;
// More rows than this gain nothing in the products, and fewer words a block lose.
constexpr int64_t kMaxRows = 512, kMinWords = 512;
// Rows that one thread takes of a block: whole cache lines.
constexpr int64_t kRowsPerThread = 64;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

class Batch {
 public:
  Batch(const cpu::SoftmaxKernels& kernels, const CrossEntropyInputs& in, bool want_hidden, bool want_weight)
      : kernels_(kernels),
        rounds_(in.hidden.scalar_type() == at::kBFloat16 && in.weight.scalar_type() == at::kBFloat16),
        type_(factor_type(in.hidden.scalar_type(), in.weight.scalar_type())),
        hidden_(in.hidden.to(type_).contiguous()),
        weight_(in.weight.contiguous()),
        bias_(in.bias.defined() ? in.bias.to(at::kFloat).contiguous().unsqueeze(1) : at::Tensor()),
        labels_(in.labels.const_data_ptr<int64_t>()),
        n_(hidden_.size(0)),
        vocabulary_(weight_.size(0)),
        softcap_(static_cast<float>(in.softcap)),
        scale_(in.factor / static_cast<double>(n_)),
        plan_(plan_cross_entropy(n_, vocabulary_, want_hidden || want_weight)),
        gradients_(want_hidden || want_weight) {
    if (want_hidden) result_.hidden = empty_huge(hidden_.sizes(), at::kFloat);
    if (want_weight)
      result_.weight =
          in.weight_gradient.defined() ? in.weight_gradient : empty_huge(weight_.sizes(), at::kFloat);
    if (want_weight && bias_.defined()) result_.bias = at::zeros({vocabulary_}, at::kFloat);
    logits_ = empty_huge({plan_.rows * (gradients_ ? vocabulary_ : plan_.words)}, at::kFloat);
    if (gradients_ && rounds_) rounded_ = empty_huge({plan_.rows * plan_.words}, at::kBFloat16);
    const size_t rows = static_cast<size_t>(plan_.rows);
    row_max_.resize(rows);
    row_sum_.resize(rows);
    label_logit_.resize(rows);
    block_max_.resize(rows * static_cast<size_t>(gradients_ ? ceil_div(vocabulary_, plan_.words) : 1));
  }

  CrossEntropyResult run() {
    for (int64_t first = 0; first < n_; first += plan_.rows) {
      const int64_t rows = std::min(plan_.rows, n_ - first);
      forward_tile(first, rows);
      if (gradients_) backward_tile(first, rows);
    }
    return result_;
  }

 private:
  at::Tensor weight_block(int64_t word, int64_t words) const {
    return weight_.narrow(0, word, words).to(type_);
  }
  at::Tensor logits_block(int64_t word, int64_t words, int64_t rows) const {
    return logits_.narrow(0, gradients_ ? word * rows : 0, words * rows).view({words, rows});
  }
  float* block_max(int64_t word) {
    return block_max_.data() + (gradients_ ? word / plan_.words * plan_.rows : 0);
  }

  void forward_tile(int64_t first, int64_t rows) {
    const TransposedFactor hidden(hidden_.narrow(0, first, rows));
    std::fill(row_max_.begin(), row_max_.end(), -std::numeric_limits<float>::infinity());
    std::fill(row_sum_.begin(), row_sum_.end(), 0.0f);
    for (int64_t word = 0; word < vocabulary_; word += plan_.words) {
      const int64_t words = std::min(plan_.words, vocabulary_ - word);
      const at::Tensor logits = logits_block(word, words, rows);
      hidden.multiply(logits, weight_block(word, words));
      if (bias_.defined()) logits.add_(bias_.narrow(0, word, words));
      if (softcap_ > 0) logits.div_(softcap_).tanh_().mul_(softcap_);
      float* values = logits.data_ptr<float>();
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t at = labels_[first + row] - word;
        if (at >= 0 && at < words) label_logit_[static_cast<size_t>(row)] = logit(values[at * rows + row]);
      }
      const cpu::ExpBlock block{words,           rows,           rounds_, values, row_max_.data(),
                                row_sum_.data(), block_max(word)};
      at::parallel_for(0, ceil_div(rows, kRowsPerThread), 1, [&](int64_t begin, int64_t end) {
        kernels_.exp_block(block, begin * kRowsPerThread, std::min(rows, end * kRowsPerThread));
      });
    }
    for (size_t row = 0; row < static_cast<size_t>(rows); ++row)
      result_.loss += static_cast<double>(row_max_[row]) + std::log(static_cast<double>(row_sum_[row])) -
                      static_cast<double>(label_logit_[row]);
  }

  // A logit as the softmax kernel takes it.
  float logit(float value) const { return rounds_ ? static_cast<float>(at::BFloat16(value)) : value; }

  // Leaves (softmax - onehot) * scale of a block where the next products read it.
  at::Tensor logit_gradients(int64_t first, int64_t rows, int64_t word, int64_t words,
                             const std::vector<float>& scale) {
    const at::Tensor exps = logits_block(word, words, rows);
    const at::Tensor out = rounds_ ? rounded_.narrow(0, 0, words * rows).view({words, rows}) : exps;
    const at::Tensor slopes = softcap_ > 0 ? cap_slopes(exps, word, rows) : at::Tensor();
    const cpu::ScaleBlock block{words,
                                rows,
                                exps.const_data_ptr<float>(),
                                block_max(word),
                                row_max_.data(),
                                scale.data(),
                                checked_element("linear_cross_entropy", "gradient", out),
                                out.data_ptr()};
    at::parallel_for(0, ceil_div(rows, kRowsPerThread), 1, [&](int64_t begin, int64_t end) {
      kernels_.scale_block(block, begin * kRowsPerThread, std::min(rows, end * kRowsPerThread));
    });
    if (slopes.defined()) out.mul_(slopes);
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t at = labels_[first + row] - word;
      if (at >= 0 && at < words) set(out, at * rows + row, label_gradient(static_cast<size_t>(row)));
    }
    return out.to(type_);
  }

  // The derivatives of a block's capped logits, which are read from their exponentials: where one of those is
  // 0, so is its gradient.
  at::Tensor cap_slopes(const at::Tensor& exps, int64_t word, int64_t rows) {
    const at::Tensor largest = at::from_blob(block_max(word), {1, rows}, at::kFloat);
    return exps.log().add_(largest).div_(softcap_).clamp_min_(-1).square_().neg_().add_(1);
  }

  // expm1 keeps what p - 1 would cancel when the model is sure.
  float label_gradient(size_t row) const {
    const double log_sum = static_cast<double>(row_max_[row]) + std::log(static_cast<double>(row_sum_[row]));
    const double logit = label_logit_[row], bent = softcap_ > 0 ? logit / softcap_ : 0;
    return static_cast<float>(std::expm1(logit - log_sum) * (1 - bent * bent) * scale_);
  }

  static void set(const at::Tensor& t, int64_t index, float value) {
    if (t.scalar_type() == at::kFloat)
      t.data_ptr<float>()[index] = value;
    else
      t.data_ptr<at::BFloat16>()[index] = value;
  }

  void backward_tile(int64_t first, int64_t rows) {
    std::vector<float> scale(static_cast<size_t>(rows));
    for (size_t row = 0; row < scale.size(); ++row)
      scale[row] = static_cast<float>(scale_ / static_cast<double>(row_sum_[row]));
    const at::Tensor hidden = hidden_.narrow(0, first, rows);
    for (int64_t word = 0; word < vocabulary_; word += plan_.words) {
      const int64_t words = std::min(plan_.words, vocabulary_ - word);
      const at::Tensor gradients = logit_gradients(first, rows, word, words, scale);
      if (result_.hidden.defined())
        matmul_fp32(result_.hidden.narrow(0, first, rows), gradients.t(), weight_block(word, words),
                    word > 0);
      if (result_.weight.defined())
        matmul_fp32(result_.weight.narrow(0, word, words), gradients, hidden, first > 0);
      if (result_.bias.defined())
        result_.bias.narrow(0, word, words).add_(gradients.sum(1, false, at::kFloat));
    }
  }

  const cpu::SoftmaxKernels& kernels_;
  bool rounds_;                        // logits and their gradients to bf16, as PyTorch has them
  at::ScalarType type_;                // of the factors of products
  at::Tensor hidden_, weight_, bias_;  // bias_ [V, 1] fp32 or undefined
  const int64_t* labels_;
  int64_t n_, vocabulary_;
  float softcap_;  // 0: none
  double scale_;   // of the gradients of the logits: factor / N
  CrossEntropyPlan plan_;
  bool gradients_;
  at::Tensor logits_;   // transposed blocks one after the other: [words, rows] each
  at::Tensor rounded_;  // one block
  std::vector<float> row_max_, row_sum_, label_logit_, block_max_;
  CrossEntropyResult result_;
};

}  // namespace

CrossEntropyPlan plan_cross_entropy(int64_t rows, int64_t vocabulary, bool gradients) {
  int64_t most = kMaxRows;
  if (gradients) most = std::clamp<int64_t>(kTileFloats / vocabulary, 1, kMaxRows);
  CrossEntropyPlan plan{};
  plan.rows = std::max<int64_t>(1, ceil_div(rows, ceil_div(std::max<int64_t>(rows, 1), most)));
  plan.words = std::min(vocabulary, std::max(kMinWords, kBlockFloats / plan.rows));
  return plan;
}

CrossEntropyResult cross_entropy(const cpu::SoftmaxKernels& kernels, const CrossEntropyInputs& in,
                                 bool want_hidden, bool want_weight) {
  return Batch(kernels, in, want_hidden, want_weight).run();
}

}  // namespace deepspeed::ops
