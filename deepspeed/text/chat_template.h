// Chat templates: the prompt that a model expects for a conversation, as transformers 5.23's
// apply_chat_template writes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deepspeed::text {

/// What a template is shown. JSON texts, because callers have them so.
struct ChatInput {
  std::string messages;                  // an array of objects
  std::optional<std::string> tools;      // an array of JSON schemas
  std::optional<std::string> documents;  // an array of objects
  bool add_generation_prompt = false;
  /// The prompt ends where the last message's content does, for the model to go on with it.
  bool continue_final_message = false;
  std::string variables = "{}";  // an object of whatever else; goes before the tokenizer's special tokens
  /// What strftime_now tells; the present where it is not given.
  std::optional<std::chrono::system_clock::time_point> now;
};

struct RenderedChat {
  std::string text;
  /// Bytes [begin, end) of the text that `generation` blocks wrote.
  std::vector<std::pair<size_t, size_t>> generations;
};

/// A template, parsed once. Immutable: any number of threads may use one object.
///
/// Understood is the part of Jinja 3.1 that published templates use, with trim_blocks and lstrip_blocks: for
/// (also with if, else, break and continue), if, set (also of blocks and namespaces), macro, call, filter,
/// with, raw, generation; all operators but '%' on texts; transformers' tojson, raise_exception and
/// strftime_now; most filters, tests and methods of texts, lists and dicts. Everything else is an Error that
/// names it, so that no prompt is silently another one. Steps, memory, output and nesting are bounded.
class ChatTemplate {
 public:
  /// `name` stands for the template in errors.
  static ChatTemplate from_source(std::string_view source, const std::string& name);
  /// The template of a Hugging Face folder, from chat_template.jinja or tokenizer_config.json, with the
  /// special tokens of the latter; nothing where there is none. `which`: of several named ones; "" prefers
  /// "default".
  static std::optional<ChatTemplate> from_folder(const std::filesystem::path& folder,
                                                 const std::string& which = "");

  /// An Error where the template refuses the conversation (raise_exception), or needs what is not supported.
  RenderedChat render(const ChatInput& input) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::shared_ptr<const Parsed> parsed);
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace deepspeed::text
