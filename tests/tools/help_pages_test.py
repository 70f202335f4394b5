"""Man pages and completion that cmake/help_pages.py makes from a help text, and what bash does with the latter."""
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "cmake"))
import help_pages

TEXT = """Runs things. Slowly.
Usage: runner [OPTIONS] PROGRAM

Options:
  -h,--help                   Print this help message and exit
  --level INT:INT in [1 - 3]=2
                              how much; .dots and -dashes too
  --data FILE REQUIRED        where from

Rare ones:
  --odd                       seldom

A note.

Examples:
  runner --level 1 job
"""


class HelpPages(unittest.TestCase):
    def setUp(self):
        self.page = help_pages.parse("runner", TEXT)

    def test_entries_keep_their_continued_lines(self):
        self.assertEqual(self.page.options(), ["-h", "--help", "--level", "--data", "--odd"])
        self.assertEqual(dict(self.page.sections)["Options"][1], ("--level INT:INT in [1 - 3]=2", "how much; .dots and -dashes too"))
        self.assertEqual(self.page.notes, ["A note."])
        self.assertEqual(self.page.examples, ["  runner --level 1 job"])

    def test_man_page_has_every_section_and_no_stray_requests(self):
        text = help_pages.man_page(self.page, "1.2")
        for part in (".SH NAME\nrunner \\- Runs things", '.SH "RARE ONES"', ".B \\-\\-data FILE REQUIRED", ".SH EXAMPLES"):
            self.assertIn(part, text)
        self.assertEqual(help_pages.roff(".dot"), "\\&.dot")

    def complete(self, *words):
        inner = help_pages.Help("inner", sections=[("Options", [("--inside TEXT", "")])])
        script = "".join(map(help_pages.completion, (self.page, inner)))
        script += f"COMP_WORDS=({' '.join(words)} ''); unset 'COMP_WORDS[-1]'; COMP_CWORD={len(words) - 1}; _runner; echo ${{COMPREPLY[*]}}"
        return subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout.strip()

    def test_bash_completes_options(self):
        self.assertEqual(self.complete("runner", "--l"), "--level")
        self.assertEqual(self.complete("runner", "file"), "")

    def test_bash_completes_the_options_of_the_program_that_is_started(self):
        self.assertEqual(self.complete("runner", "--level", "1", "inner", "--i"), "--inside")
        self.assertEqual(self.complete("runner", "other", "--o"), "--odd")


if __name__ == "__main__":
    unittest.main()
