// The cache in which Hugging Face's tools keep what they downloaded (huggingface_hub's docs/source/en/guides/
// manage-cache.md): models--ORG--NAME/refs/REVISION holds a commit, snapshots/COMMIT its files. Nothing is
// downloaded.
#pragma once

#include <filesystem>
#include <string>

namespace deepspeed::formats {

/// HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
/// ~/.cache/huggingface/hub. A leading ~ and $NAME in them are expanded.
std::filesystem::path hub_cache_folder();

/// "~" and "~/..." with HOME in place of the tilde; other paths as they are.
std::filesystem::path expand_home(const std::filesystem::path& path);

/// Whether this may be a model's name on the hub: "NAME" or "ORG/NAME" of letters, digits, '-', '_' and '.'.
bool is_hub_name(const std::string& name);

/// The folder of that model's files at a revision: a branch or tag, a pull request's "refs/pr/N", or a commit
/// of 40 digits. Errors say which file or folder is not there, and which revisions are.
std::filesystem::path find_in_hub_cache(const std::string& name, const std::string& revision = "main",
                                        const std::filesystem::path& cache = hub_cache_folder());

}  // namespace deepspeed::formats
