// Log lines on standard error: "[time] [level] text". The level is the only process-wide setting.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace deepspeed::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kCritical };

/// "debug", "info", "warning", "error" or "critical"; anything else is an Error.
LogLevel parse_log_level(std::string_view name);
void set_log_level(LogLevel level);
LogLevel log_level();
/// Writes one line when `level` is at least the set level. Safe to call from several threads.
void log_line(LogLevel level, const std::string& text);

template <class... Args>
void log_debug(fmt::format_string<Args...> f, Args&&... a) {
  if (log_level() <= LogLevel::kDebug) log_line(LogLevel::kDebug, fmt::format(f, std::forward<Args>(a)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> f, Args&&... a) {
  if (log_level() <= LogLevel::kInfo) log_line(LogLevel::kInfo, fmt::format(f, std::forward<Args>(a)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> f, Args&&... a) {
  log_line(LogLevel::kWarning, fmt::format(f, std::forward<Args>(a)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> f, Args&&... a) {
  log_line(LogLevel::kError, fmt::format(f, std::forward<Args>(a)...));
}

}  // namespace deepspeed::base
