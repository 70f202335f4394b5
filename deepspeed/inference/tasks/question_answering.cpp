#include "deepspeed/inference/tasks/question_answering.h"

#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/config/convert.h"
#include "deepspeed/inference/tasks/encoder_batch.h"
#include "deepspeed/inference/tasks/text_span.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {
namespace {

constexpr size_t kLongestPart = 384, kLargestStride = 128;
constexpr float kImpossible = -10000;
constexpr double kNoScore = 1000000;  // of "there is no answer", where nobody asks

// From the word of one token to that of another, as far as the part has it.
std::pair<size_t, size_t> characters_of(const text::Encoding& part, size_t first, size_t last,
                                        bool align_to_words) {
  std::pair<size_t, size_t> out = {part.offsets[first].first, part.offsets[last].second};
  const int32_t from = part.words[first], to = part.words[last];
  if (!align_to_words || from < 0 || to < 0) return out;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part.sequences[i] != 1) continue;
    if (part.words[i] == from) out.first = std::min(out.first, part.offsets[i].first);
    if (part.words[i] == to) out.second = std::max(out.second, part.offsets[i].second);
  }
  return out;
}

std::vector<float> possible_softmax(const at::Tensor& logits, int64_t side,
                                    const std::vector<bool>& possible) {
  std::vector<float> scores;
  for (size_t i = 0; i < possible.size(); ++i)
    scores.push_back(possible[i] ? logits[static_cast<int64_t>(i)][side].item<float>() : kImpossible);
  return softmax(scores);
}

}  // namespace

QuestionAnswering::QuestionAnswering(std::shared_ptr<models::QuestionAnswerer> model,
                                     const ModelSource& source)
    : model_(std::move(model)), source_(source), first_token_(source.special_token("cls_token")) {}

std::vector<text::Encoding> QuestionAnswering::parts_of(const std::string& question,
                                                        const std::string& context,
                                                        const Options& options) const {
  const size_t longest = options.max_seq_len.value_or(std::min(source_.longest, kLongestPart));
  const size_t stride = options.doc_stride.value_or(std::min(longest / 2, kLargestStride));
  DS_CHECK(longest <= source_.longest, "max_seq_len is {}, more than the model's {} tokens", longest,
           source_.longest);
  DS_CHECK(stride < longest, "doc_stride is {}; it must be less than the {} tokens of a part", stride,
           longest);
  text::EncodeOptions encode;
  encode.truncation = text::Truncation{
      .max_length = longest, .stride = stride, .strategy = text::Truncation::Strategy::kOnlySecond};
  text::Encoding whole = source_.tokenizer->encode_pair(question, context, encode);
  std::vector<text::Encoding> parts = std::move(whole.overflowing);
  whole.overflowing.clear();
  parts.insert(parts.begin(), std::move(whole));
  return parts;
}

std::vector<bool> QuestionAnswering::possible(const text::Encoding& part) const {
  std::vector<bool> out(part.size());
  // Models put the answer that there is none at their first token.
  for (size_t i = 0; i < part.size(); ++i)
    out[i] = part.sequences[i] == 1 || (first_token_ && part.ids[i] == *first_token_);
  return out;
}

std::vector<QuestionAnswering::Span> QuestionAnswering::spans_of(const text::Encoding& part,
                                                                 const Options& options,
                                                                 double& none_score) const {
  const at::Tensor logits =
      to_host(model_->logits(encoder_batch(part, model_->spec(), nn::device_of(*model_)))[0]);
  const std::vector<bool> allowed = possible(part);
  std::vector<float> starts = possible_softmax(logits, 0, allowed),
                     ends = possible_softmax(logits, 1, allowed);
  if (options.handle_impossible_answer)
    none_score = std::min(none_score, static_cast<double>(starts[0] * ends[0]));
  starts[0] = ends[0] = 0;
  std::vector<Span> spans;
  for (size_t s = 0; s < part.size(); ++s)
    for (size_t e = s; e < std::min(part.size(), s + options.max_answer_len); ++e)
      spans.push_back({s, e, starts[s] * ends[e]});
  // More than are wanted: some turn out to be the same once whole words are taken.
  const size_t wanted = options.align_to_words ? 2 * options.top_k + 10 : options.top_k;
  const auto count = static_cast<std::ptrdiff_t>(std::min(wanted, spans.size()));
  std::partial_sort(spans.begin(), spans.begin() + count, spans.end(), [](const Span& a, const Span& b) {
    return a.score != b.score ? a.score > b.score : std::pair(a.start, a.end) < std::pair(b.start, b.end);
  });
  spans.resize(static_cast<size_t>(count));
  std::erase_if(spans, [&](const Span& span) { return !allowed[span.start] || !allowed[span.end]; });
  return spans;
}

std::vector<FoundAnswer> QuestionAnswering::operator()(const std::string& question,
                                                       const std::string& context,
                                                       const Options& options) const {
  const at::NoGradGuard no_grad;
  DS_CHECK(!question.empty() && !context.empty(), "the {} is empty",
           question.empty() ? "question" : "context");
  DS_CHECK(options.top_k > 0 && options.max_answer_len > 0, "top_k and max_answer_len must be at least 1");
  double none_score = kNoScore;
  std::vector<FoundAnswer> answers;
  for (const text::Encoding& part : parts_of(question, context, options))
    for (const Span& span : spans_of(part, options, none_score)) {
      const auto [start, end] = characters_of(part, span.start, span.end, options.align_to_words);
      const std::string text = text_span(context, start, end);
      const auto same = std::find_if(answers.begin(), answers.end(), [&](const FoundAnswer& answer) {
        return config::lower(answer.answer) == config::lower(text);
      });
      if (same == answers.end())
        answers.push_back({span.score, start, end, text});
      else
        same->score += span.score;
    }
  if (options.handle_impossible_answer) answers.push_back({none_score, 0, 0, ""});
  std::stable_sort(answers.begin(), answers.end(),
                   [](const FoundAnswer& a, const FoundAnswer& b) { return a.score > b.score; });
  answers.resize(std::min(answers.size(), options.top_k));
  return answers;
}

}  // namespace deepspeed::inference
