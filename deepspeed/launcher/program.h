// Which executable a PROGRAM word means, and what is put before the user's arguments.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/launcher/options.h"

namespace deepspeed::launcher {

struct Program {
  std::string executable;           // path given to execve
  std::vector<std::string> prefix;  // argv up to and including the program, e.g. python3 -u train.py
  /// Scripts and interpreters bind MASTER_PORT by themselves (torch.distributed does); a listening socket of
  /// ours would be in their way. A compiled program is handed the socket.
  bool binds_port_itself = false;
};

/// Where to look: `bin_dir` (the folder of `deepspeed`) before the folders of `search_path` (a PATH value). A
/// word with a
/// '/' is a path. A .py file runs through python3 -u, unless no_python; with `module` the word is a module's
/// name. Errors: nothing of that name, a folder, a file that is not executable.
Program resolve_program(const LaunchOptions& options, const std::filesystem::path& bin_dir,
                        const std::string& search_path);

/// The executable file `name` in the first folder of `search_path` that has one.
std::optional<std::string> find_on_path(const std::string& name, const std::string& search_path);

/// The folder of the running executable.
std::filesystem::path own_bin_dir();

}  // namespace deepspeed::launcher
