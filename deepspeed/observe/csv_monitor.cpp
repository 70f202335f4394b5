#include "deepspeed/observe/csv_monitor.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/observe/python_text.h"

namespace deepspeed::observe {
namespace {

// As Python's csv module writes a field.
std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string out = "\"";
  for (const char c : field) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

}  // namespace

CsvMonitor::CsvMonitor(const MonitorFilesConfig& config)
    : folder_(std::filesystem::path(config.output_path) / config.job_name) {
  prepare_folder(folder_, "csv_monitor");
}

std::optional<std::string> CsvMonitor::write(const std::vector<Event>& events) {
  std::optional<std::string> problem;
  for (const Event& event : events)
    if (auto why = write_one(event); why && !problem) problem = std::move(why);
  return problem;
}

std::optional<std::string> CsvMonitor::write_one(const Event& event) {
  auto file = files_.find(event.name);
  std::string lines;
  if (file == files_.end()) {
    std::string name = event.name;
    std::ranges::replace_if(
        name, [](char c) { return c == '/' || c == ' '; }, '_');
    try {
      file = files_.emplace(event.name, AppendFile(folder_ / (name + ".csv"))).first;
    } catch (const base::Error& error) {
      return error.what();
    }
    lines = fmt::format("step,{}\r\n", quoted(event.name.substr(event.name.rfind('/') + 1)));
  }
  lines += fmt::format("{},{}\r\n", event.step,
                       event.whole ? fmt::format("{:.0f}", event.value) : python_float(event.value));
  auto problem = file->second.append(lines);
  if (problem && lines.starts_with("step,")) files_.erase(file);  // the head is still to be written
  return problem;
}

}  // namespace deepspeed::observe
