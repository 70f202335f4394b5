#include "deepspeed/formats/unpickler.h"

#include <gmock/gmock.h>

#include <limits>

#include "images.h"
#include "pickles.h"
#include "tests/formats/allocation_meter.h"

namespace deepspeed::formats {
namespace {

using namespace pickles;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Kind = PickleValue::Kind;

/// The error of a pickle of these opcodes; "no error" when none.
std::string error_in(const std::string& opcodes) {
  const AllocationMeter meter;
  const std::string error = error_of([&] { Pickle(image_of(opcodes), 0, "x.pkl"); });
  EXPECT_TRUE(meter.fits(opcodes.size())) << meter.peak() << " bytes: " << error;
  return error;
}
std::string error_in_value(const std::string& value) { return error_in(pickle(value)); }

struct Read {
  explicit Read(std::string value) : bytes(pickle(std::move(value))), pickled(image_of(bytes), 0, "x.pkl") {}
  std::string bytes;
  Pickle pickled;
};
int64_t read_number(const std::string& value) {
  Read read(value);
  EXPECT_EQ(read.pickled.root().kind, Kind::kInt);
  return read.pickled.root().integer;
}

TEST(Pickle, ReadsNumbersOfEveryLength) {
  EXPECT_EQ(read_number("K\xff"), 255);
  EXPECT_EQ(read_number("M\xff\xff"), 65535);
  EXPECT_EQ(read_number("J\xff\xff\xff\xff"), -1);
  EXPECT_EQ(read_number(std::string("\x8a\0", 2)), 0);
  EXPECT_EQ(read_number("\x8a\1\x80"), -128);
  EXPECT_EQ(read_number(std::string("\x8a\2\xff\0", 4)), 255);
  EXPECT_EQ(read_number(std::string("\x8b\1\0\0\0\x7f", 6)), 127);
  EXPECT_EQ(read_number(number(std::numeric_limits<int64_t>::min())), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Read(std::string("\x8a\x09", 2) + std::string(9, '\1')).pickled.root().kind, Kind::kLong);
  EXPECT_EQ(Read(std::string("G\x3f\xe0\0\0\0\0\0\0", 9)).pickled.root().number, 0.5);
}

TEST(Pickle, ReadsTextAndBytesOfEveryLength) {
  for (const std::string& value :
       {std::string("U\2ab"), std::string("T\2\0\0\0ab", 7), std::string("X\2\0\0\0ab", 7),
        std::string("\x8c\2ab"), std::string("\x8d\2\0\0\0\0\0\0\0ab", 11), std::string("C\2ab"),
        std::string("B\2\0\0\0ab", 7), std::string("\x8e\2\0\0\0\0\0\0\0ab", 11)})
    EXPECT_EQ(Read(value).pickled.root().text(), "ab");
}

TEST(Pickle, TextIsAViewOfTheFile) {
  Read read(text("abc"));
  const char* at = read.pickled.root().data;
  EXPECT_TRUE(at >= read.bytes.data() && at < read.bytes.data() + read.bytes.size());
}

TEST(Pickle, ContainersAreSharedThroughTheMemo) {
  // A list that is put into a dict and grows afterwards.
  Read read("}" + text("a") + "]q\5sh\5" + number(7) + "a0");
  const auto items = read.pickled.items(read.pickled.root());
  ASSERT_EQ(items.size(), 2u);
  ASSERT_EQ(read.pickled.items(items[1]).size(), 1u);
  EXPECT_EQ(read.pickled.items(items[1])[0].integer, 7);
}

TEST(Pickle, ReadsOrderedDictsOfBothPythons) {
  const std::string type = global("collections", "OrderedDict");
  Read python3(call(type, {}) + "(" + text("a") + number(1) + "u}" + text("_metadata") + "Nsb");
  EXPECT_EQ(python3.pickled.items(python3.pickled.root()).size(), 2u);
  Read python2(call(type, {list({list({text("a"), number(1)}), tuple({text("b"), number(2)})})}));
  ASSERT_EQ(python2.pickled.items(python2.pickled.root()).size(), 4u);
  EXPECT_EQ(python2.pickled.items(python2.pickled.root())[2].text(), "b");
}

TEST(Pickle, NothingIsCalledThatIsNotOnTheList) {
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                        {"posix", "system"},
                                                        {"builtins", "eval"},
                                                        {"builtins", "getattr"},
                                                        {"__builtin__", "exec"},
                                                        {"subprocess", "Popen"},
                                                        {"torch", "load"},
                                                        {"torch._utils", "os.system"},
                                                        {"torch", "_utils"},
                                                        {"torch.storage", "_load_from_bytes"},
                                                        {"collections", "Counter"},
                                                        {"numpy.core.multiarray", "_reconstruct"},
                                                        {"", ""}}) {
    const std::string wanted = "'" + module + "." + name + "', which is not allowed";
    EXPECT_THAT(error_in_value(call(global(module, name), {text("echo")})),
                AllOf(HasSubstr("'x.pkl' at byte 2"), HasSubstr(wanted)));
    EXPECT_THAT(error_in_value(text(module) + text(name) + "\x93"), HasSubstr(wanted));
  }
}

TEST(Pickle, ANameCannotBreakTheLine) {
  const std::string error = error_in_value(text("os\n\x1b[2J") + text(std::string(5000, 'x')) + "\x93");
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_EQ(error.find('\x1b'), std::string::npos);
  EXPECT_LT(error.size(), 500u);
}

TEST(Pickle, OpcodesThatBuildOtherObjectsAreRefusedByName) {
  const std::string type = global("collections", "OrderedDict");
  EXPECT_THAT(error_in_value(type + ")\x81"), HasSubstr("uses NEWOBJ, which is not allowed"));
  EXPECT_THAT(error_in_value(type + ")}\x92"), HasSubstr("uses NEWOBJ_EX"));
  EXPECT_THAT(error_in_value("(ios\nsystem\n"), HasSubstr("uses INST"));
  EXPECT_THAT(error_in_value("(" + type + "o"), HasSubstr("uses OBJ"));
  EXPECT_THAT(error_in_value("\x82\1"), HasSubstr("uses EXT1"));
  EXPECT_THAT(error_in_value("Pid\n"), HasSubstr("uses PERSID"));
  EXPECT_THAT(error_in_value("I1\n"), HasSubstr("uses INT"));
  EXPECT_THAT(error_in_value("\x97"), HasSubstr("uses NEXT_BUFFER"));
  EXPECT_THAT(error_in_value("\xff"), HasSubstr("unknown opcode 0xff"));
  EXPECT_THAT(error_in_value(tensor(0, {1}, {1}) + "}b"), HasSubstr("sets attributes of a tensor"));
  EXPECT_THAT(error_in_value(text("f") + ")R"), HasSubstr("calls text"));
  EXPECT_THAT(error_in_value(call(global("torch", "FloatStorage"), {})), HasSubstr("not a function"));
  EXPECT_THAT(error_in_value(call(global("torch", "Tensor"), {})), HasSubstr("not a function"));
}

TEST(Pickle, TheStackIsNeverLeft) {
  for (const char* opcodes : {".",   "0",   "2",    "a",     "]a",  "s",    "}s",     "}Ns", "t",   "e",
                              "u",   "1",   "\x85", "N\x86", "R",   ")R",   "Q",      "b",   "Nb",  "\x94",
                              "q\1", "(0.", "(.",   "(N.",   "NN.", "]((a", "N(\x85", "(a",  "](2", "](R"})
    EXPECT_THAT(error_in("\x80\2" + std::string(opcodes)), HasSubstr("'x.pkl' at byte")) << opcodes;
  EXPECT_EQ(error_in("\x80\2(0N."), "no error");
  EXPECT_EQ(error_in("\x80\2N(NN1."), "no error");
}

TEST(Pickle, MemoPlacesMustHaveBeenSet) {
  EXPECT_THAT(error_in_value("h\3"), HasSubstr("place 3 of its memo, which was never set"));
  EXPECT_THAT(error_in_value("Nq\5h\3"), HasSubstr("place 3"));
  EXPECT_THAT(error_in_value("Nr\xff\xff\xff\xff"), HasSubstr("no place 4294967295"));
  EXPECT_THAT(error_in_value("j\xff\xff\xff\xff"), HasSubstr("place 4294967295"));
}

TEST(Pickle, LengthsBeyondTheFileAreErrors) {
  for (const std::string& value :
       {std::string("X\xff\xff\xff\xff"), std::string("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"),
        std::string("B\xff\xff\xff\x7f"), std::string("\x8a\xff"), std::string("\x8b\xff\xff\xff\xff"),
        std::string("U\x10"), std::string("\x8e\0\0\0\0\0\0\0\x80", 9)})
    EXPECT_THAT(error_in("\x80\2" + value), HasSubstr("the file is truncated or damaged"));
  EXPECT_THAT(error_in("\x80\4\x95\xff\xff\xff\xff\xff\xff\xff\xffN."), HasSubstr("runs past the end"));
  EXPECT_THAT(error_in("\x80\2cos"), HasSubstr("module of a global has no end"));
  EXPECT_THAT(error_in("\x80\1N."), HasSubstr("protocol 1; 2 to 5"));
  EXPECT_THAT(error_in("\x80\6N."), HasSubstr("protocol 6"));
}

TEST(Pickle, PersistentIdsMustBeStorages) {
  const std::string type = global("torch", "FloatStorage");
  EXPECT_THAT(error_in_value(tuple({text("module"), type, text("0"), text("cpu"), number(1)}) + "Q"),
              HasSubstr("no storage"));
  EXPECT_THAT(error_in_value(tuple({text("storage"), type}) + "Q"), HasSubstr("takes 5 to 6 values, not 2"));
  EXPECT_THAT(error_in_value(tuple({text("storage"), text("x"), text("0"), text("cpu"), number(1)}) + "Q"),
              HasSubstr("a storage's type"));
  EXPECT_THAT(error_in_value(tuple({text("storage"), type, number(0), text("cpu"), number(1)}) + "Q"),
              HasSubstr("key is a number"));
  EXPECT_THAT(
      error_in_value(tuple({text("storage"), type, text("0"), text("cpu"), number(1), tuple({text("1")})}) +
                     "Q"),
      HasSubstr("view of another"));
}

TEST(Pickle, FunctionsCheckTheirArguments) {
  const std::string rebuild = global("torch._utils", "_rebuild_tensor_v2");
  EXPECT_THAT(error_in_value(rebuild + "NR"), HasSubstr("takes a tuple, not None"));
  EXPECT_THAT(error_in_value(call(rebuild, {none()})), HasSubstr("takes 6 to 7 values, not 1"));
  EXPECT_THAT(error_in_value(call(rebuild, {"N", "N", "N", "N", "N", "N"})),
              HasSubstr("a tensor views None"));
  EXPECT_THAT(error_in_value(call(global("torch._utils", "_rebuild_parameter"), {"N", "N", "N"})),
              HasSubstr("a parameter is None"));
  EXPECT_THAT(error_in_value(call(global("torch", "Size"), {"N"})), HasSubstr("torch.Size takes a tuple"));
  EXPECT_THAT(error_in_value(call(global("collections", "OrderedDict"), {list({"N"})})),
              HasSubstr("not one of pairs"));
  const std::string from_type = global("torch._tensor", "_rebuild_from_type_v2");
  EXPECT_THAT(error_in_value(call(from_type, {"N", global("torch", "Tensor"), ")", "}"})),
              HasSubstr("calls None"));
  EXPECT_THAT(error_in_value(call(from_type, {from_type, global("torch", "Tensor"), ")", "}"})),
              HasSubstr("not a function"));
  const std::string untyped = tuple({text("storage"), global("torch.storage", "UntypedStorage"), text("0"),
                                     text("cpu"), number(16)}) +
                              "Q";
  EXPECT_THAT(error_in_value(tensor(untyped, number(0), numbers({1}), numbers({1}))),
              HasSubstr("a storage without a type"));
}

TEST(Pickle, OneListMadeIntoManyDictsIsRefused) {
  std::string value = "](";
  for (int i = 0; i < 1000; ++i) value += "NN\x86";
  value += "eq" + std::string(1, '\0') + "0";
  for (int i = 0; i < 1000; ++i)
    value += global("collections", "OrderedDict") + "h" + std::string(1, '\0') + "\x85R0";
  EXPECT_THAT(error_in_value(value + "N"), HasSubstr("too many OrderedDicts"));
}

TEST(Pickle, OpcodesThatTakeAByteEachTakeNoMoreMemoryThanTheirNumberJustifies) {
  for (const char* opcode : {"N", "]", "}", ")", "(", "N\x94", "Nq\1", "]\x94", "}\x94N\x85", "U\1a"})
    for (size_t count : {1000, 100'000}) {
      std::string many = "\x80\2";
      for (size_t i = 0; i < count; ++i) many += opcode;
      EXPECT_NE(error_in(many + "."), "no error");
    }
}

TEST(Pickle, EndsWhereItSaysAndLeavesTheRest) {
  const std::string bytes = "junk" + pickle("N") + "rest";
  EXPECT_EQ(Pickle(image_of(bytes), 4, "x.pkl").end(), 8u);
}

}  // namespace
}  // namespace deepspeed::formats
