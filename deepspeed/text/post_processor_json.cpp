#include <algorithm>

#include "deepspeed/text/tokenizer_json.h"

namespace deepspeed::text {
namespace {

using Part = TemplateStep::Part;

void check_id(const JsonView& view, int32_t id, const Pipeline& pipeline) {
  DS_CHECK(pipeline.model->token_of(id) != nullptr || pipeline.added.find(id) != nullptr,
           "{}: no token has id {}", view.where(), id);
}

int32_t read_type_id(const JsonView& view) { return view.has("type_id") ? view.at("type_id").id() : 0; }

Part read_template_part(const JsonView& part, const JsonView& special, const Pipeline& pipeline) {
  Part out;
  if (part.has("Sequence")) {
    const JsonView sequence = part.at("Sequence"), id = sequence.at("id");
    DS_CHECK(id.text() == "A" || id.text() == "B", "{} must be 'A' or 'B', not {}", id.where(),
             quote(id.text()));
    out.sequence = id.text() == "B" ? 1 : 0;
    out.type_id = read_type_id(sequence);
    return out;
  }
  const JsonView token = part.at("SpecialToken");
  out.type_id = read_type_id(token);
  const JsonView entry = special.member(token.at("id").text());
  const JsonView ids = entry.at("ids"), tokens = entry.at("tokens");
  DS_CHECK(ids.array_size() == tokens.array_size(), "{}: ids and tokens differ in number", entry.where());
  for (size_t i = 0; i < ids.array_size(); ++i) {
    out.ids.push_back(ids.at(i).id());
    out.tokens.push_back(tokens.at(i).text());
    check_id(ids.at(i), out.ids.back(), pipeline);
  }
  return out;
}

std::vector<Part> read_template(const JsonView& parts, const JsonView& special, int texts,
                                const Pipeline& pipeline) {
  std::vector<Part> out;
  for (size_t i = 0; i < parts.array_size(); ++i)
    out.push_back(read_template_part(parts.at(i), special, pipeline));
  for (int text = 0; text < 2; ++text) {
    const auto count =
        std::count_if(out.begin(), out.end(), [&](const Part& p) { return p.sequence == text; });
    if (text < texts && count != 1) refuse(parts, "a template that does not hold each text once");
    if (text >= texts && count != 0) refuse(parts, "a second text in the template for one");
  }
  return out;
}

TemplateStep read_template_processing(const JsonView& view, const Pipeline& pipeline) {
  const JsonView special = view.at("special_tokens");
  TemplateStep step;
  step.single = read_template(view.at("single"), special, 1, pipeline);
  step.pair = {{0, 0, {}, {}}, {1, 1, {}, {}}};
  if (view.has("pair") && view.at("pair").array_size() > 0)
    step.pair = read_template(view.at("pair"), special, 2, pipeline);
  return step;
}

// ["[SEP]", 102]
Part read_token(const JsonView& view, int32_t type_id, const Pipeline& pipeline) {
  DS_CHECK(view.array_size() == 2, "{} must hold a token and its id", view.where());
  Part out{-1, type_id, {view.at(1).id()}, {view.at(size_t{0}).text()}};
  check_id(view, out.ids[0], pipeline);
  return out;
}

TemplateStep read_bert_processing(const JsonView& view, const Pipeline& pipeline) {
  const Part first{0, 0, {}, {}}, second{1, 1, {}, {}};
  const Part begin = read_token(view.at("cls"), 0, pipeline), end = read_token(view.at("sep"), 0, pipeline);
  TemplateStep step;
  step.single = {begin, first, end};
  step.pair = {begin, first, end, second, read_token(view.at("sep"), 1, pipeline)};
  return step;
}

TemplateStep read_roberta_processing(const JsonView& view, const Pipeline& pipeline) {
  const Part first{0, 0, {}, {}}, second{1, 0, {}, {}};
  const Part begin = read_token(view.at("cls"), 0, pipeline), end = read_token(view.at("sep"), 0, pipeline);
  TemplateStep step;
  step.single = {begin, first, end};
  step.pair = {begin, first, end, end, second, end};
  step.types_overflow = true;
  return step;
}

void add_template(const JsonView& view, TemplateStep step, Pipeline& pipeline) {
  for (const auto& other : pipeline.post_processor)
    if (std::holds_alternative<TemplateStep>(other)) refuse(view, "a second template");
  pipeline.post_processor.emplace_back(std::move(step));
}

}  // namespace

void read_post_processor(const JsonView& view, Pipeline& pipeline, int depth) {
  if (view.is_null()) return;
  const std::string type = type_of(view);
  const auto trim_offsets = [&] {
    if (view.boolean_or("trim_offsets", true))
      pipeline.post_processor.emplace_back(TrimOffsetsStep{view.boolean_or("add_prefix_space", true)});
  };
  if (type == "ByteLevel") {
    trim_offsets();
  } else if (type == "RobertaProcessing") {
    trim_offsets();
    add_template(view, read_roberta_processing(view, pipeline), pipeline);
  } else if (type == "BertProcessing") {
    add_template(view, read_bert_processing(view, pipeline), pipeline);
  } else if (type == "TemplateProcessing") {
    add_template(view, read_template_processing(view, pipeline), pipeline);
  } else if (type == "Sequence" && depth < kMaxDepthOfSteps) {
    const JsonView parts = view.at("processors");
    for (size_t i = 0; i < parts.array_size(); ++i) read_post_processor(parts.at(i), pipeline, depth + 1);
  } else {
    refuse(view, "post_processor " + quote(type));
  }
}

}  // namespace deepspeed::text
