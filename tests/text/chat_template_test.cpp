// Chat templates against transformers' own (tests/parity/tokenizer/make_chats.py).
#include "deepspeed/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <fstream>

#include "deepspeed/base/error.h"
#include "golden.h"

namespace deepspeed::text {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;

const ordered_json& goldens() {
  static const ordered_json value = ordered_json::parse(golden::read("chat/chats.json"));
  return value;
}

// strftime_now tells local time, of the place where the goldens were made.
class ChatGolden : public ::testing::Test {
 protected:
  ChatGolden() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};

ChatInput input_of(const ordered_json& chat) {
  ChatInput input;
  ordered_json variables = goldens().at("special");
  for (const auto& [key, value] : chat.items()) {
    if (key == "messages")
      input.messages = value.dump();
    else if (key == "tools")
      input.tools = value.dump();
    else if (key == "documents")
      input.documents = value.dump();
    else if (key == "add_generation_prompt")
      input.add_generation_prompt = value.get<bool>();
    else
      variables[key] = value;
  }
  input.variables = variables.dump();
  input.now = std::chrono::system_clock::from_time_t(goldens().at("now").get<std::time_t>());
  return input;
}

std::string rendered(const std::string& source, const ChatInput& input) {
  try {
    return ChatTemplate::from_source(source, "template").render(input).text;
  } catch (const base::Error& error) {
    const std::string what = error.what();
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    return "ERROR: " + what;
  }
}

void expect_as_transformers(const std::string& source, const ChatInput& input, const ordered_json& expected) {
  const std::string got = rendered(source, input);
  if (expected.is_null())
    EXPECT_THAT(got, ::testing::StartsWith("ERROR: template: line "));
  else
    EXPECT_EQ(got, expected.get<std::string>());
}

TEST_F(ChatGolden, TwentyConversationsComeOutOfEveryFamilysTemplateAsInTransformers) {
  const auto& chats = goldens().at("chats");
  ASSERT_EQ(chats.size(), 20u);
  for (const auto& [name, entry] : goldens().at("templates").items()) {
    for (size_t i = 0; i < chats.size(); ++i) {
      SCOPED_TRACE(name + ", conversation " + std::to_string(i));
      expect_as_transformers(entry.at("source"), input_of(chats[i]), entry.at("expected")[i]);
    }
  }
}

TEST_F(ChatGolden, SingleConstructsComeOutAsInTransformers) {
  for (const auto& construct : goldens().at("constructs")) {
    SCOPED_TRACE(construct[0].get<std::string>());
    expect_as_transformers(construct[0], input_of(goldens().at("chats").back()), construct[1]);
  }
}

TEST_F(ChatGolden, WhatTransformersRefusesIsRefused) {
  for (const auto& source : goldens().at("refused")) {
    SCOPED_TRACE(source.get<std::string>());
    expect_as_transformers(source, input_of(goldens().at("chats").front()), nullptr);
  }
}

TEST_F(ChatGolden, TheFinalMessageIsContinuedAsInTransformers) {
  for (const auto& entry : goldens().at("continued")) {
    ChatInput input = input_of(goldens().at("chats").at(entry[1].get<size_t>()));
    input.continue_final_message = true;
    input.add_generation_prompt = false;
    SCOPED_TRACE(entry[0].get<std::string>() + ", conversation " + entry[1].dump());
    const std::string got =
        rendered(goldens().at("templates").at(entry[0].get<std::string>()).at("source"), input);
    if (entry[2].is_null())
      EXPECT_THAT(got, ::testing::StartsWith("ERROR: "));
    else
      EXPECT_EQ(got, entry[2].get<std::string>());
  }
}

ChatInput hello() {
  ChatInput input;
  input.messages = R"([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}])";
  return input;
}

std::string error_of(const std::string& source) {
  const std::string out = rendered(source, hello());
  return out.starts_with("ERROR: ") ? out.substr(7) : "no error";
}

TEST(ChatTemplate, WhatIsNotSupportedIsRefusedByNameAndLine) {
  EXPECT_THAT(error_of("a\n{{ 1 | urlize }}"),
              HasSubstr("template: line 2: the filter 'urlize' is not supported"));
  EXPECT_THAT(error_of("{{ 'a'.zfill(3) }}"), HasSubstr("'zfill' of a str is not supported"));
  EXPECT_THAT(error_of("{{ '%s' % 1 }}"), HasSubstr("formatting with '%' is not supported"));
  EXPECT_THAT(error_of("{% import 'x' as y %}"), HasSubstr("the tag 'import' is not supported"));
  EXPECT_THAT(error_of("{% include 'x' %}"), HasSubstr("the tag 'include' is not supported"));
  EXPECT_THAT(error_of("{% for i in [1] recursive %}{% endfor %}"),
              HasSubstr("a recursive loop is not supported"));
  EXPECT_THAT(error_of("{{ cycler(1) }}"), HasSubstr("'cycler' is not supported"));
  EXPECT_THAT(error_of("{{ ('a' | safe) ~ 'b' }}"), HasSubstr("'safe'"));
  EXPECT_THAT(error_of("{{ [1] | map('string') }}"), HasSubstr("writing a generator is not supported"));
  EXPECT_THAT(error_of("{{ raise_exception('not\nso') }}"),
              HasSubstr("the template refuses the conversation: not"));
}

TEST(ChatTemplate, GeneratorsAreReadOnceAsInPython) {
  EXPECT_EQ(
      rendered("{% set g = [1, 2] | map('string') %}{{ g | join }}{{ g | join }}{{ 'true' if g }}", hello()),
      "12true");
  EXPECT_EQ(rendered("{% set g = [1, 2] | map('string') %}{{ g | first }}{{ g | join }}", hello()), "12");
}

TEST(ChatTemplate, SaysWhereGenerationBlocksAre) {
  const auto chat = ChatTemplate::from_source(
      "{% for m in messages %}{{ m.role }}:{% generation %}{{ m.content }}{% endgeneration %};{% endfor %}",
      "t");
  const RenderedChat out = chat.render(hello());
  EXPECT_EQ(out.text, "user:hi;assistant:yo;");
  EXPECT_EQ(out.generations, (std::vector<std::pair<size_t, size_t>>{{5, 7}, {18, 20}}));
}

TEST(ChatTemplate, HostileTemplatesNeitherHangNorExhaustMemory) {
  EXPECT_THAT(error_of("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"),
              HasSubstr("allowed"));
  EXPECT_THAT(error_of("{{ 'a' * 99999999999 }}"), HasSubstr("allowed"));
  EXPECT_THAT(error_of("{% set n = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}{% set n.s = "
                       "n.s + n.s %}{% endfor %}"),
              HasSubstr("allowed"));
  EXPECT_THAT(
      error_of("{% set n = namespace(l=[]) %}{% for i in range(999) %}{% set n.l = [n.l] %}{% endfor %}"),
      HasSubstr("more than 100 deep"));
  EXPECT_THAT(error_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("too many calls"));
  EXPECT_THAT(error_of("{% set n = namespace() %}{% set n.n = n %}"), HasSubstr("within a namespace"));
  const auto many = [](std::string_view text, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) out += text;
    return out;
  };
  EXPECT_THAT(error_of("{{ " + many("(", 50000) + "1" + many(")", 50000) + " }}"),
              HasSubstr("too much nesting"));
  EXPECT_THAT(error_of("{{ " + many("not ", 50000) + "1 }}"), HasSubstr("too much nesting"));
  EXPECT_THAT(error_of("{{ " + many("a.", 50000) + "a }}"), HasSubstr("within each other"));
  EXPECT_THAT(error_of("{{ 1" + many(" + 1", 50000) + " }}"), HasSubstr("within each other"));
  EXPECT_THAT(error_of(many("{% if a %}", 5000)), HasSubstr("too much nesting"));
  EXPECT_THAT(error_of(std::string(2 << 20, 'a')), HasSubstr("more than"));
  ChatInput deep = hello();
  deep.variables = "{\"a\": " + many("[", 100000) + many("]", 100000) + "}";
  EXPECT_THAT(rendered("", deep), HasSubstr("more than 100 deep"));
}

TEST(ChatTemplate, AFoldersTemplateComesWithItsSpecialTokens) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("ds_chat_{}", ::getpid());
  std::filesystem::create_directories(folder);
  EXPECT_FALSE(ChatTemplate::from_folder(folder));
  std::ofstream(folder / "tokenizer_config.json")
      << R"({"bos_token": {"content": "<b>"}, "eos_token": "<e>", "chat_template": [{"name": "default", "template": "{{ bos_token }}d"},
            {"name": "tool_use", "template": "{{ eos_token }}t"}]})";
  EXPECT_EQ(ChatTemplate::from_folder(folder)->render(hello()).text, "<b>d");
  EXPECT_EQ(ChatTemplate::from_folder(folder, "tool_use")->render(hello()).text, "<e>t");
  EXPECT_THROW(ChatTemplate::from_folder(folder, "rag"), base::Error);
  std::ofstream(folder / "chat_template.jinja") << "{{ messages | length }}{{ bos_token }}\n";
  EXPECT_EQ(ChatTemplate::from_folder(folder)->render(hello()).text, "2<b>");
  std::filesystem::remove_all(folder);
}

TEST(ChatTemplate, InputThatIsNotAConversationIsRefused) {
  for (const char* messages : {"", "{}", "[1]", "[", "\"a\"", "[{\"role\": 99999999999999999999}]"}) {
    ChatInput input;
    input.messages = messages;
    EXPECT_THAT(rendered("a", input), ::testing::StartsWith("ERROR: messages")) << messages;
  }
}

}  // namespace
}  // namespace deepspeed::text
