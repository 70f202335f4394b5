#include "deepspeed/text/chat_template.h"

#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/text/python_text.h"
#include "deepspeed/text/template_parser.h"
#include "deepspeed/text/template_renderer.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Value = TemplateValue;

constexpr size_t kMaxConfigBytes = size_t{64} << 20;
constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

void set(Value::Pairs& pairs, const std::string& name, Value value) {
  for (auto& [key, old] : pairs)
    if (key.text() != nullptr && *key.text() == name) {
      old = std::move(value);
      return;
    }
  pairs.emplace_back(Value(name), std::move(value));
}

// Reasoning goes by several names; a template finds it under any.
Value with_reasoning(const Value& message) {
  const Value* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const Value* found = message.find(std::string_view(name));
    if (reasoning == nullptr && found != nullptr && !found->is_none()) reasoning = found;
  }
  if (reasoning == nullptr) return message;
  Value::Pairs pairs = {{Value(std::string("thinking")), *reasoning}};
  for (const auto& [key, value] : *message.pairs()) set(pairs, *key.text(), value);
  set(pairs, "reasoning_content", *reasoning);
  return Value::dict(std::move(pairs));
}

struct Tagged {
  Value message;
  std::string content;  // before the tag
};

// The message whose text ends with the tag: the content, or the last text block in it.
Tagged tagged(const Value& message, const std::string& name) {
  const Value* content = message.find(std::string_view("content"));
  DS_CHECK(content != nullptr && !content->is_none(), "{}: the last message has no content to continue",
           name);
  Value::Pairs pairs = *message.pairs();
  if (content->text() != nullptr) {
    Tagged out{Value(), *content->text()};
    set(pairs, "content", Value(out.content + std::string(kContinueTag)));
    out.message = Value::dict(std::move(pairs));
    return out;
  }
  DS_CHECK(content->items() != nullptr, "{}: the last message's content is a {}", name, content->type_name());
  Value::Items blocks = *content->items();
  for (size_t i = blocks.size(); i-- > 0;) {
    const Value* text = blocks[i].find(std::string_view("text"));
    if (text == nullptr || text->text() == nullptr) continue;
    Tagged out{Value(), *text->text()};
    Value::Pairs block = *blocks[i].pairs();
    set(block, "text", Value(out.content + std::string(kContinueTag)));
    blocks[i] = Value::dict(std::move(block));
    set(pairs, "content", Value::list(std::move(blocks)));
    out.message = Value::dict(std::move(pairs));
    return out;
  }
  base::fail("{}: the last message holds no text to continue", name);
}

std::string cut_at_tag(std::string text, const std::string& content, const std::string& name) {
  const std::string tag = python_strip(std::string(kContinueTag), nullptr, true, true);
  const size_t at = text.rfind(tag);
  DS_CHECK(
      at != std::string::npos && text.find(python_strip(content, nullptr, true, true)) != std::string::npos,
      "{}: the template does not write the last message, which is to be continued", name);
  const bool whole = std::string_view(text).substr(at).starts_with(kContinueTag);
  text.resize(at);
  return whole ? text : python_strip(text, nullptr, false, true);
}

nlohmann::ordered_json parse_config(const std::filesystem::path& path) {
  try {
    return nlohmann::ordered_json::parse(base::read_text_file(path, kMaxConfigBytes));
  } catch (const nlohmann::json::exception& error) {
    const std::string text = error.what();
    base::fail("{}: not valid JSON: {}", path.string(), one_line(text.substr(text.find(' ') + 1)));
  }
}

// "default" of several, or the one of that name.
std::optional<std::string> template_in(const nlohmann::ordered_json& config, const std::string& which,
                                       const std::string& path) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  DS_CHECK(found->is_array(), "{}: chat_template must be a text or a list of named ones", path);
  const std::string name = which.empty() ? "default" : which;
  for (const auto& entry : *found)
    if (entry.is_object() && entry.value("name", "") == name && entry.contains("template") &&
        entry["template"].is_string())
      return entry["template"].get<std::string>();
  base::fail("{}: chat_template has none that is named {}", path, quote(name));
}

}  // namespace

struct ChatTemplate::Parsed {
  std::string name;
  std::string source;
  TemplateStatements statements;
  Value::Pairs special_tokens;
};

ChatTemplate::ChatTemplate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}

ChatTemplate ChatTemplate::from_source(std::string_view source, const std::string& name) {
  auto parsed = std::make_shared<Parsed>();
  parsed->name = name;
  parsed->source = source;
  parsed->statements = parse_template(source, name);
  return ChatTemplate(std::move(parsed));
}

std::optional<ChatTemplate> ChatTemplate::from_folder(const std::filesystem::path& folder,
                                                      const std::string& which) {
  const auto config_path = folder / "tokenizer_config.json", file = folder / "chat_template.jinja";
  nlohmann::ordered_json config = nlohmann::ordered_json::object();
  if (std::filesystem::exists(config_path)) config = parse_config(config_path);
  DS_CHECK(config.is_object(), "{} must hold an object", config_path.string());
  const bool from_file = std::filesystem::exists(file) && (which.empty() || which == "default");
  const auto source = from_file ? std::optional(base::read_text_file(file, kMaxTemplateBytes))
                                : template_in(config, which, config_path.string());
  if (!source) return std::nullopt;
  auto parsed = std::make_shared<Parsed>();
  parsed->name = (from_file ? file : config_path).string();
  parsed->source = *source;
  parsed->statements = parse_template(*source, parsed->name);
  for (const char* token : kSpecialTokens) {
    const auto found = config.find(token);
    if (found == config.end()) continue;
    const auto& content = found->is_object() && found->contains("content") ? (*found)["content"] : *found;
    if (content.is_string())
      parsed->special_tokens.emplace_back(Value(std::string(token)), Value(content.get<std::string>()));
  }
  return ChatTemplate(std::move(parsed));
}

RenderedChat ChatTemplate::render(const ChatInput& input) const {
  const std::string& name = parsed_->name;
  const auto array = [&](const std::optional<std::string>& json, const char* what) -> Value {
    if (!json) return Value::None{};
    const Value value = Value::from_json(*json, what);
    DS_CHECK(value.items() != nullptr, "{} must be an array of objects", what);
    for (const Value& item : *value.items())
      DS_CHECK(item.pairs() != nullptr, "{} must be an array of objects, not of {}", what, item.type_name());
    return value;
  };
  Value::Items messages;
  const Value conversation = array(input.messages, "messages");
  for (const Value& message : *conversation.items()) messages.push_back(with_reasoning(message));
  std::string continued;
  if (input.continue_final_message) {
    DS_CHECK(!messages.empty(), "{}: there is no message to continue", name);
    Tagged last = tagged(messages.back(), name);
    messages.back() = last.message;
    continued = last.content;
  }
  Value::Pairs variables = parsed_->special_tokens;
  const Value given = Value::from_json(input.variables, "variables");
  DS_CHECK(given.pairs() != nullptr, "variables must be an object");
  for (const auto& [key, value] : *given.pairs()) set(variables, *key.text(), value);
  set(variables, "messages", Value::list(std::move(messages)));
  set(variables, "tools", array(input.tools, "tools"));
  set(variables, "documents", array(input.documents, "documents"));
  set(variables, "add_generation_prompt", Value(input.add_generation_prompt));
  const Value all = Value::dict(std::move(variables));
  TemplateRenderer renderer(name, all, TemplateLimits{}, input.now);
  RenderedChat out{renderer.run(parsed_->statements), {}};
  out.generations = renderer.generations();
  if (input.continue_final_message) out.text = cut_at_tag(std::move(out.text), continued, name);
  return out;
}

}  // namespace deepspeed::text
