// What every command's main() does around its own work: one line on standard error for what goes wrong, and
// the exit code: 0, 1 for an error, 2 for a command line that is not taken.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>

#include "deepspeed/base/usage_error.h"

namespace deepspeed::tools {

/// For options whose empty text would count as not given: a script's variable that is not set.
inline CLI::Validator not_empty() {
  return CLI::Validator(
      [](const std::string& text) { return text.empty() ? "the text is empty; leave the flag out" : ""; },
      "");
}

/// Texts of libtorch have several lines.
inline std::string on_one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// Runs `body`, whose result is the exit code, and reports its exceptions as those of `name`.
inline int report_errors(const std::string& name, const std::function<int()>& body) {
  std::string what;
  int code = 1;
  try {
    return body();
  } catch (const base::UsageError& error) {
    what = error.what();
    code = 2;
  } catch (const std::exception& error) {
    what = on_one_line(error.what());
  }
  std::fprintf(stderr, "%s: %s\n", name.c_str(), what.c_str());
  return code;
}

/// Parses the command line by `app`, answers --help and --version, and runs `body` otherwise. Errors begin
/// with `name`, the app's where it is empty.
inline int run_tool(CLI::App& app, int argc, char** argv, const std::function<void()>& body,
                    const std::string& name = "") {
  return report_errors(name.empty() ? app.get_name() : name, [&] {
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& answered) {
      return app.exit(answered);
    } catch (const CLI::ParseError& error) {
      throw base::UsageError(fmt::format("{} (see {} --help)", error.what(), app.get_name()));
    }
    body();
    return 0;
  });
}

}  // namespace deepspeed::tools
