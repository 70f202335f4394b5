#include "deepspeed/formats/hub_cache.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <system_error>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/formats/dtype.h"

namespace deepspeed::formats {
namespace {

namespace fs = std::filesystem;
constexpr size_t kMaxNameBytes = 96, kMaxRevisionBytes = 256, kCommitDigits = 40;

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// $NAME and ${NAME}; names that are not set stay as they are, as in Python's expandvars.
std::string expand_variables(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const bool braces = text.compare(at, 2, "${") == 0;
    const size_t begin = at + (braces ? 2 : 1);
    size_t end = begin;
    while (text[at] == '$' && end < text.size() && (braces ? text[end] != '}' : is_word(text[end]))) ++end;
    const bool named = text[at] == '$' && end > begin && (!braces || end < text.size());
    const auto value = named ? base::env(text.substr(begin, end - begin).c_str()) : std::nullopt;
    if (value) {
      out += *value;
      at = end + (braces ? 1 : 0);
    } else {
      out += text[at++];
    }
  }
  return out;
}

std::optional<fs::path> folder_of(const char* variable) {
  const auto value = base::env(variable);
  if (!value || value->empty()) return std::nullopt;
  return fs::path(expand_variables(expand_home(*value).string()));
}

bool is_commit(const std::string& text) {
  return text.size() == kCommitDigits &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

// Names below a folder, at most as deep as "refs/pr/1" is.
std::set<std::string> names_below(const fs::path& folder, bool files) {
  std::set<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at.depth() > 3) at.disable_recursion_pending();
    if (!files) at.disable_recursion_pending();
    std::error_code ignored;
    if (at->is_directory(ignored) != files)
      names.insert(shown(at->path().lexically_relative(folder).string()));
  }
  return names;
}

std::string known_revisions(const fs::path& model) {
  auto names = names_below(model / "refs", true);
  names.merge(names_below(model / "snapshots", false));
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

void check_revision(const std::string& revision) {
  const fs::path path(revision);
  const bool fits = !revision.empty() && revision.size() <= kMaxRevisionBytes && path.is_relative() &&
                    revision.find('\0') == std::string::npos && path.has_filename() &&
                    std::none_of(path.begin(), path.end(),
                                 [](const fs::path& part) { return part == ".." || part == "."; });
  DS_CHECK(fits, "'{}' cannot be a model's revision", shown(revision));
}

// The commit that a branch or tag stands for.
std::string commit_of(const fs::path& model, const std::string& name, const std::string& revision) {
  if (is_commit(revision)) return revision;
  const fs::path ref = model / "refs" / revision;
  std::error_code error;
  DS_CHECK(fs::is_regular_file(ref, error),
           "model '{}' has no revision '{}' in the cache: '{}' does not exist (there are: {})", name,
           shown(revision), ref.string(), known_revisions(model));
  std::string commit = base::read_text_file(ref, 4096);
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back())) != 0) commit.pop_back();
  DS_CHECK(is_commit(commit), "'{}' should hold a commit of {} digits, not '{}'", ref.string(), kCommitDigits,
           shown(commit));
  return commit;
}

}  // namespace

fs::path expand_home(const fs::path& path) {
  const std::string text = path.string();
  if (text != "~" && !text.starts_with("~/")) return path;
  const auto home = base::env("HOME");
  DS_CHECK(home && !home->empty(), "'{}' cannot be found: HOME is not set", text);
  return fs::path(*home) / text.substr(std::min<size_t>(2, text.size()));
}

fs::path hub_cache_folder() {
  if (const auto folder = folder_of("HF_HUB_CACHE")) return *folder;
  if (const auto folder = folder_of("HUGGINGFACE_HUB_CACHE")) return *folder;
  if (const auto folder = folder_of("HF_HOME")) return *folder / "hub";
  if (const auto folder = folder_of("XDG_CACHE_HOME")) return *folder / "huggingface/hub";
  return expand_home("~/.cache/huggingface/hub");
}

bool is_hub_name(const std::string& name) {
  const size_t slash = name.find('/');
  const auto fits = [](std::string_view part) {
    constexpr std::string_view kEdges = "-.";
    return !part.empty() && kEdges.find(part.front()) == kEdges.npos &&
           kEdges.find(part.back()) == kEdges.npos && part.find("--") == part.npos &&
           part.find("..") == part.npos &&
           std::all_of(part.begin(), part.end(), [](char c) { return is_word(c) || c == '-' || c == '.'; });
  };
  if (name.size() > kMaxNameBytes) return false;
  const std::string_view whole = name;
  return slash == name.npos ? fits(whole) : fits(whole.substr(0, slash)) && fits(whole.substr(slash + 1));
}

fs::path find_in_hub_cache(const std::string& name, const std::string& revision, const fs::path& cache) {
  DS_CHECK(is_hub_name(name), "'{}' cannot be a model's name on the Hugging Face hub", shown(name));
  check_revision(revision);
  std::string folder = "models--" + name;
  if (const size_t slash = folder.find('/'); slash != folder.npos) folder.replace(slash, 1, "--");
  const fs::path model = cache / folder;
  std::error_code error;
  DS_CHECK(fs::is_directory(model, error),
           "model '{}' is not in the Hugging Face cache: '{}' does not exist (HF_HUB_CACHE or HF_HOME name "
           "another cache)",
           name, model.string());
  const fs::path snapshot = model / "snapshots" / commit_of(model, name, revision);
  DS_CHECK(fs::is_directory(snapshot, error),
           "model '{}' has no revision '{}' in the cache: '{}' does not exist (there are: {})", name,
           shown(revision), snapshot.string(), known_revisions(model));
  return snapshot;
}

}  // namespace deepspeed::formats
