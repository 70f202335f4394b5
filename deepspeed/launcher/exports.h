// The variables that a runner (mpirun, srun) takes to ranks on other hosts. After DeepSpeed's
// launcher/runner.py.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deepspeed::launcher {

/// Names and values, in the order in which they were first set.
using Exports = std::vector<std::pair<std::string, std::string>>;

/// Sets `name` to `value`: replaced where it stands, else appended.
void set_export(Exports& exports, const std::string& name, const std::string& value);

/// Of "NAME=value" entries those whose name begins with MLFLOW, PYTHON, MV2, UCX or NCCL. Where AISC_JOB_NAME
/// is set, NCCL_IB_HCA and UCX_NET_DEVICES differ from host to host and stay.
Exports exported_variables(std::span<const std::string> environment);

/// Adds the NAME=value lines of a .deepspeed_env file. Blank lines and lines that begin with '#' are skipped;
/// any other line is an Error that names `source` and the line.
void add_exports(std::string_view text, std::string_view source, Exports& exports);

}  // namespace deepspeed::launcher
