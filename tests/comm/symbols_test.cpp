// gloo's headers (Debian) and gloo's code (inside libtorch) are of different releases: nothing of gloo's own
// may be compiled into our library.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>
#include <regex>
#include <string>

namespace {

std::string defined_symbols(const std::string& library) {
  const std::string command = "nm -C --defined-only '" + library + "' 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 65536> buffer;
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe.get())) text.append(buffer.data(), n);
  return text;
}

// Global or weak (a lower-case type is local to its object: ASan keeps constants of headers as such).
const std::regex kGlooSymbol("^[0-9a-f]+ [A-Zuvw] ((vtable|VTT|typeinfo|typeinfo name) for )?gloo::[^\n]*");

TEST(Symbols, OurLibraryDefinesNothingOfGloo) {
  const auto symbols = defined_symbols(DS_COMM_LIBRARY);
  ASSERT_NE(symbols.find("deepspeed::comm::connect_gloo"), std::string::npos);
  for (size_t begin = 0; begin < symbols.size();) {
    const size_t end = std::min(symbols.find('\n', begin), symbols.size());
    const auto line = symbols.substr(begin, end - begin);
    EXPECT_FALSE(std::regex_match(line, kGlooSymbol)) << line;
    begin = end + 1;
  }
}

TEST(Symbols, ThePatternFindsWhatItLooksFor) {
  EXPECT_TRUE(std::regex_match("0000000000000000 V vtable for gloo::rendezvous::Store", kGlooSymbol));
  EXPECT_FALSE(std::regex_match("0000000000000000 r gloo::kNoTimeout", kGlooSymbol));
  EXPECT_TRUE(std::regex_match("0000000000000000 W gloo::Context::setTimeout(int)", kGlooSymbol));
  EXPECT_FALSE(
      std::regex_match("0000000000000000 W std::vector<gloo::X>::push_back(gloo::X&&)", kGlooSymbol));
}

}  // namespace
