#include "deepspeed/inference/results.h"

#include <algorithm>

#include "deepspeed/text/utf8.h"

namespace deepspeed::inference {
namespace {

using config::Json;

std::string score_text(double score) { return fmt::format("{:.4f}", score); }

std::string cell(const std::string& text) {
  std::string out = text;
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return out;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789.-+e") == std::string::npos &&
         text.find_first_of("0123456789") != std::string::npos;
}

Json to_json(const TokenLogprob& one) {
  Json out = {{"token", one.token}, {"logprob", one.logprob}};
  for (const auto& [token, logprob] : one.top) out["top"].push_back({{"token", token}, {"logprob", logprob}});
  return out;
}

}  // namespace

const char* finish_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

Json to_json(const std::vector<std::vector<FilledToken>>& masks) {
  Json out = Json::array();
  for (const auto& row : masks) {
    Json& list = out.emplace_back(Json::array());
    for (const FilledToken& one : row)
      list.push_back(
          {{"score", one.score}, {"token", one.token}, {"token_str", one.text}, {"sequence", one.sequence}});
  }
  return masks.size() == 1 ? out[0] : out;
}

Json to_json(const std::vector<LabelScore>& labels) {
  Json out = Json::array();
  for (const LabelScore& one : labels) out.push_back({{"label", one.label}, {"score", one.score}});
  return out;
}

Json to_json(const std::vector<Entity>& entities) {
  Json out = Json::array();
  for (const Entity& one : entities) {
    Json entity = {{one.index ? "entity" : "entity_group", one.label}, {"score", one.score}};
    if (one.index) entity["index"] = *one.index;
    entity["word"] = one.word;
    entity["start"] = one.start;
    entity["end"] = one.end;
    out.push_back(std::move(entity));
  }
  return out;
}

Json to_json(const std::vector<FoundAnswer>& answers) {
  Json out = Json::array();
  for (const FoundAnswer& one : answers)
    out.push_back({{"score", one.score}, {"start", one.start}, {"end", one.end}, {"answer", one.answer}});
  return out;
}

Json to_json(const Answer& answer) {
  Json out = Json::array();
  for (const Sequence& one : answer.sequences) {
    Json sequence = {{"generated_text", one.text},
                     {"finish_reason", finish_name(one.finish)},
                     {"generated_tokens", one.tokens.size()}};
    if (one.stop_string) sequence["stop_string"] = *one.stop_string;
    for (const TokenLogprob& logprob : one.logprobs) sequence["logprobs"].push_back(to_json(logprob));
    out.push_back(std::move(sequence));
  }
  return out;
}

std::string TextTable::text() const {
  std::vector<size_t> widths(rows_[0].size());
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], text::count_code_points(row[i]));
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string text = cell(row[i]), space(widths[i] - text::count_code_points(text), ' ');
      const bool right = rows_.size() > 1 && is_number(rows_[1][i]);
      line += (i > 0 ? "  " : "") + (right ? space + text : text + space);
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string to_table(const std::vector<std::vector<FilledToken>>& masks) {
  std::string out;
  for (const auto& row : masks) {
    TextTable table({"score", "token", "text"});
    for (const FilledToken& one : row) table.add({score_text(one.score), one.text, one.sequence});
    out += (out.empty() ? "" : "\n") + table.text();
  }
  return out;
}

std::string to_table(const std::vector<LabelScore>& labels) {
  TextTable table({"score", "label"});
  for (const LabelScore& one : labels) table.add({score_text(one.score), one.label});
  return table.text();
}

std::string to_table(const std::vector<Entity>& entities) {
  if (entities.empty()) return "(none)\n";
  TextTable table({"score", "entity", "start", "end", "word"});
  for (const Entity& one : entities)
    table.add(
        {score_text(one.score), one.label, std::to_string(one.start), std::to_string(one.end), one.word});
  return table.text();
}

std::string to_table(const std::vector<FoundAnswer>& answers) {
  TextTable table({"score", "start", "end", "answer"});
  for (const FoundAnswer& one : answers)
    table.add({score_text(one.score), std::to_string(one.start), std::to_string(one.end),
               one.answer.empty() ? "(none)" : one.answer});
  return table.text();
}

}  // namespace deepspeed::inference
