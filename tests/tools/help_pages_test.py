"""Man pages and completion that cmake/help_pages.py makes from a help text, and what bash and zsh do with the latter."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
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


INNER = help_pages.Help("inner", sections=[("Options", [("--inside TEXT", "")])])
# The line as it stands when ^X is typed.
ZSH_SETUP = """PS1=; fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; bindkey -e
setopt no_beep no_prompt_cr no_prompt_sp; show() {{ print -r -- "<LINE>$BUFFER</LINE>"; zle kill-buffer }}; zle -N show
bindkey '^X' show; cd {folder}; print READY''READY
"""


class Zsh:
    """An interactive zsh on a terminal of its own that completes by the given pages."""

    def __init__(self, folder, pages):
        for page in pages:
            pathlib.Path(folder, f"_{page.name}").write_text(help_pages.zsh_completion(page))
        self.terminal, other = pty.openpty()
        self.shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=other, stdout=other, stderr=other, start_new_session=True,
                                      env=dict(os.environ, TERM="dumb", HOME=folder))
        os.close(other)
        self.output = ""
        self.write(ZSH_SETUP.format(folder=folder))
        self.wait_for("READYREADY")

    def write(self, text):
        os.write(self.terminal, text.encode())

    def wait_for(self, pattern):
        end = time.monotonic() + 20
        while not (found := re.search(pattern, self.output, re.DOTALL)):
            if not select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"zsh said no {pattern}: {self.output!r}")
            self.output += os.read(self.terminal, 4096).decode(errors="replace")
        self.output = self.output[found.end():]
        return found

    def complete(self, line):
        self.write(line + "\t\x18")
        return self.wait_for("<LINE>(.*?)</LINE>").group(1)

    def close(self):
        self.shell.kill()
        self.shell.wait()
        os.close(self.terminal)


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
        script = "".join(map(help_pages.bash_completion, (self.page, INNER)))
        script += f"COMP_WORDS=({' '.join(words)} ''); unset 'COMP_WORDS[-1]'; COMP_CWORD={len(words) - 1}; _runner; echo ${{COMPREPLY[*]}}"
        return subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout.strip()

    def test_bash_completes_options(self):
        self.assertEqual(self.complete("runner", "--l"), "--level")
        self.assertEqual(self.complete("runner", "file"), "")

    def test_bash_completes_the_options_of_the_program_that_is_started(self):
        self.assertEqual(self.complete("runner", "--level", "1", "inner", "--i"), "--inside")
        self.assertEqual(self.complete("runner", "other", "--o"), "--odd")

    @unittest.skipUnless(shutil.which("zsh"), "no zsh here: its completion is not tried (Debian package zsh)")
    def test_zsh_completes_options_subcommands_programs_and_files(self):
        tool = help_pages.Help("tool", sections=[("Options", [("--all", "")]), ("Subcommands", [("train", "a: b"), ("count", "")])],
                               subcommands=[help_pages.Help("tool train", sections=[("Options", [("--vocab N", "it's big")])]),
                                            help_pages.Help("tool count")])
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "file.txt").touch()
            zsh = Zsh(folder, [self.page, INNER, tool])
            try:
                self.assertEqual(zsh.complete("runner --l"), "runner --level ")
                self.assertEqual(zsh.complete("runner --nothing"), "runner --nothing")
                self.assertEqual(zsh.complete("runner --level 1 inner --i"), "runner --level 1 inner --inside ")
                self.assertEqual(zsh.complete("runner other --o"), "runner other --odd ")
                self.assertEqual(zsh.complete("runner --data fi"), "runner --data file.txt ")
                self.assertEqual(zsh.complete("tool tr"), "tool train ")
                self.assertEqual(zsh.complete("tool train --v"), "tool train --vocab ")
                self.assertEqual(zsh.complete("tool --a"), "tool --all ")
            finally:
                zsh.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)  # says why a test is skipped
