#include "deepspeed/config/markdown.h"

#include <fmt/format.h>

#include "deepspeed/config/environment.h"

namespace deepspeed::config {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    if (c == '<') {
      out += "&lt;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string shown_default(const Field& field) {
  if (field.deprecated) return "";
  if (field.required) return "required";
  if (field.table && !field.nullable) return "";
  if (field.initial.is_number_float()) return fmt::format("{}", field.initial.get<double>());
  return escaped(field.initial.dump());
}

std::string meaning(const Field& field, const std::string& path) {
  std::string text = field.doc_line;
  auto add = [&text](const std::string& more) { text += (text.empty() ? "" : " ") + more; };
  if (field.table) add(fmt::format("See `{}`{}.", path, field.is_list ? ", a list of blocks" : ""));
  if (!field.feature.empty()) add("Not available yet: " + field.feature + ".");
  if (field.resolve_auto) add("\"auto\" is resolved.");
  if (!field.aliases.empty()) add(fmt::format("Also `{}`.", fmt::join(field.aliases, "`, `")));
  if (field.deprecated)
    add(field.replacement.empty() ? "Deprecated." : fmt::format("Deprecated: use `{}`.", field.replacement));
  return escaped(text);
}

std::string type_of(const Field& field) {
  std::string bounds = field.limits.describe();
  return escaped(bounds.empty() ? field.type : field.type + " " + bounds);
}

void section(const Table& table, const std::string& title, const std::string& path, std::string& out) {
  out += fmt::format("\n## {}\n", title);
  std::string notes = table.doc;
  if (table.strict) notes += notes.empty() ? "" : " ";
  if (table.strict) notes += "\"auto\" means the default.";
  if (!notes.empty()) out += "\n" + escaped(notes) + "\n";
  out += "\n| key | type | default | meaning |\n|---|---|---|---|\n";
  auto below = [&path](const Field& field) { return path.empty() ? field.key : path + "." + field.key; };
  for (const Field& field : table.fields)
    out += fmt::format("| `{}` | {} | {} | {} |\n", field.key, type_of(field), shown_default(field),
                       meaning(field, below(field)));
  for (const Field& field : table.fields) {
    for (const Variant& variant : field.variants)
      section(*variant.table, fmt::format("`{}` of {}", below(field), variant.name), below(field), out);
    if (field.table) section(*field.table, fmt::format("`{}`", below(field)), below(field), out);
  }
}

std::string environment_section() {
  std::string out = "\n## Environment variables\n\n| variable | default | meaning |\n|---|---|---|\n";
  for (const Variable& v : variables())
    out += fmt::format("| `{}` | {} | {} |\n", v.name, v.initial, escaped(v.doc));
  out += "\nDeepSpeed's variables without effect here:\n\n| variable | why |\n|---|---|\n";
  for (const Variable& v : variables_without_effect())
    out += fmt::format("| `{}` | {} |\n", v.name, escaped(v.doc));
  return out;
}

void collect(const Table& table, const std::string& path, std::vector<std::string>& out) {
  for (const Field& field : table.fields) {
    std::string name = path.empty() ? field.key : path + "." + field.key;
    out.push_back(name);
    for (const std::string& alias : field.aliases) out.push_back(path.empty() ? alias : path + "." + alias);
    if (field.table) collect(*field.table, name, out);
    for (const Variant& variant : field.variants) collect(*variant.table, name, out);
  }
}

}  // namespace

std::string to_markdown(const Table& root) {
  std::string out =
      "# Configuration keys\n\n"
      "Generated from the tables in the code; `tests/config` fails when this page is out of date and says "
      "how to renew "
      "it.\nUnknown keys are errors everywhere. A key that is \"not available yet\" is accepted while it is "
      "switched "
      "off.\nIntegral floats such as 5e8 are whole numbers. A block written here only with its own keys may "
      "be left "
      "out.\n\"auto\" means the default in blocks that say so; where a key says that it is resolved it means "
      "what "
      "Hugging Face's\nTrainer would fill in: the other batch keys, the model's hidden size and format, the "
      "steps of "
      "the training, else its\ndefaults. `ds_report --config FILE --world-size N --model FOLDER --steps N` "
      "shows "
      "what each key came to, and why.\n";
  section(root, "Top level", "", out);
  out += environment_section();
  return out;
}

std::vector<std::string> key_paths(const Table& root) {
  std::vector<std::string> out;
  collect(root, "", out);
  return out;
}

}  // namespace deepspeed::config
