"""Makes a command's man page and its completion in bash and zsh from what it says itself with --help.

  help_pages.py COMMAND --version VERSION --man NAME.1 --bash NAME --zsh _NAME

The text is CLI11's: a description, "Usage: ...", sections of entries ("Options:", "Subcommands:"), then notes and
"Examples:". Subcommands are asked for theirs.
"""
import argparse
import os
import pathlib
import re
import subprocess
from dataclasses import dataclass, field

ENTRY = re.compile(r"  (\S.*?)(?:\s{2,}(\S.*))?$")
NAMES = re.compile(r"^(-[\w-]+(?:,-[\w-]+)*|--[\w-]+(?:,-{1,2}[\w-]+)*)")


@dataclass
class Help:
    name: str
    description: str = ""
    usage: str = ""
    sections: list = field(default_factory=list)  # (title, [(term, text)])
    notes: list = field(default_factory=list)  # lines
    examples: list = field(default_factory=list)  # lines
    subcommands: list = field(default_factory=list)  # Help

    def entries(self, wanted):
        return [entry for title, entries in self.sections for entry in entries if wanted(title)]

    def described_options(self):
        """(name, text) of every spelling."""
        named = ((NAMES.match(term), text) for term, text in self.entries(lambda title: title != "Subcommands"))
        return [(name, text) for match, text in named if match for name in match.group(1).split(",")]

    def options(self):
        return [name for name, _ in self.described_options()]


def parse(name, text):
    """One level of --help."""
    page = Help(name)
    head, _, rest = text.partition("Usage: ")
    page.description = " ".join(head.split())
    page.usage, _, rest = rest.partition("\n")
    body, _, examples = rest.partition("\nExamples:\n")
    page.examples = [line for line in examples.splitlines() if line.strip()]
    entries = None
    for line in body.splitlines():
        if re.match(r"\S.*:$", line):
            entries = []
            page.sections.append((line[:-1], entries))
        elif entries is not None and line.startswith(" " * 20) and entries:
            term, text = entries[-1]
            entries[-1] = (term, f"{text} {line.strip()}".strip())
        elif entries is not None and (match := ENTRY.match(line)):
            entries.append((match.group(1), match.group(2) or ""))
        elif line.strip():
            entries = None
            page.notes.append(line)
    return page


def ask(command, *words):
    env = dict(os.environ, COLUMNS="1000")
    return subprocess.run([command, *words, "--help"], env=env, check=True, capture_output=True, text=True).stdout


def read(command):
    name = pathlib.Path(command).name
    page = parse(name, ask(command))
    for title, entries in page.sections:
        if title == "Subcommands":
            page.subcommands = [parse(f"{name} {word}", ask(command, word)) for word, _ in entries]
    return page


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def man_entries(entries):
    return [line for term, text in entries for line in (".TP", f".B {roff(term)}", roff(text))]


def verbatim(lines):
    return [".nf", *map(roff, lines), ".fi"]


def man_page(page, version):
    out = [f'.TH "{page.name.upper()}" 1 "" "deepspeed.cpp {version}"', ".SH NAME",
           f"{roff(page.name)} \\- {roff(page.description.split('. ')[0].rstrip('.'))}", ".SH SYNOPSIS", f".B {roff(page.usage)}",
           ".SH DESCRIPTION", roff(page.description)]
    for title, entries in page.sections:
        out += [f'.SH "{roff(title.upper())}"', *man_entries(entries)]
    for sub in page.subcommands:
        out += [f'.SH "{roff(sub.name.upper())}"', roff(sub.description), ".PP", f".B {roff(sub.usage)}"]
        out += man_entries(sub.entries(lambda _: True))
    if page.notes:
        out += [".SH NOTES", *verbatim(page.notes)]
    if page.examples:
        out += [".SH EXAMPLES", *verbatim(page.examples)]
    return "\n".join(out) + "\n"


def bash_completion(page):
    """Options behind a dash, subcommands as the first word, file names elsewhere. What follows a PROGRAM is completed as
    that program's own."""
    function = "_" + re.sub(r"\W", "_", page.name)
    words = {"": " ".join(page.options())}
    for sub in page.subcommands:
        words[sub.name.split()[-1]] = " ".join(sub.options())
    cases = "\n".join(f"    {sub}) options={quote(options)} ;;" for sub, options in words.items() if sub)
    starts_programs = "PROGRAM" in page.usage.split()
    lines = [f"# bash completion of {page.name}, made from its --help", f"{function}() {{",
             "  local cur=${COMP_WORDS[COMP_CWORD]} options=" + quote(words[""])]
    if starts_programs:
        lines += ["  local i",
                  "  for ((i = 1; i < COMP_CWORD; i++)); do",
                  "    if [[ ${COMP_WORDS[i]} != -* ]] && declare -F \"_${COMP_WORDS[i]##*/}\" >/dev/null; then",
                  "      \"_${COMP_WORDS[i]##*/}\"",
                  "      return",
                  "    fi",
                  "  done"]
    if page.subcommands:
        subs = " ".join(word for word in words if word)
        lines += ["  if ((COMP_CWORD == 1)) && [[ $cur != -* ]]; then",
                  f"    COMPREPLY=($(compgen -W {quote(subs)} -- \"$cur\"))",
                  "    return",
                  "  fi",
                  "  case ${COMP_WORDS[1]} in", cases, "  esac"]
    lines += ["  COMPREPLY=()", "  [[ $cur == -* ]] && COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))", "}",
              f"complete -o default -F {function} {page.name}"]
    return "\n".join(lines) + "\n"


def zsh_list(name, described):
    """An array as _describe takes it: "word:text", a colon within a word escaped."""
    words = " ".join(quote(word.replace(":", "\\:") + ":" + " ".join(text.split())) for word, text in described)
    return f"{name}=({words})"


def zsh_completion(page):
    """The same rules as in bash, each word with its text; a program that is started completes as zsh has it do elsewhere."""
    lines = [f"#compdef {page.name}", f"# zsh completion of {page.name}, made from its --help",
             "local -a options", zsh_list("options", page.described_options())]
    if "PROGRAM" in page.usage.split():
        lines += ["local i",
                  "for ((i = 2; i < CURRENT; i++)); do",
                  "  if [[ $words[i] != -* ]] && (( $+_comps[${words[i]:t}] )); then",
                  "    shift $((i - 1)) words",
                  "    ((CURRENT -= i - 1))",
                  "    _normal",
                  "    return",
                  "  fi",
                  "done"]
    if page.subcommands:
        terms = dict(page.entries(lambda title: title == "Subcommands"))
        subcommands = [(sub.name.split()[-1], sub) for sub in page.subcommands]
        lines += ["local -a commands", zsh_list("commands", [(word, terms.get(word, "")) for word, _ in subcommands]),
                  "if ((CURRENT == 2)) && [[ $PREFIX != -* ]]; then",
                  "  _describe command commands",
                  "  return",
                  "fi",
                  "case $words[2] in",
                  *(f"  {word}) {zsh_list('options', sub.described_options())} ;;" for word, sub in subcommands),
                  "esac"]
    lines += ["if [[ $PREFIX == -* ]]; then", "  _describe -o option options", "else", "  _files", "fi"]
    return "\n".join(lines) + "\n"


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command")
    parser.add_argument("--version", required=True)
    parser.add_argument("--man", type=pathlib.Path, required=True)
    parser.add_argument("--bash", type=pathlib.Path, required=True)
    parser.add_argument("--zsh", type=pathlib.Path, required=True)
    options = parser.parse_args()
    page = read(options.command)
    options.man.write_text(man_page(page, options.version))
    options.bash.write_text(bash_completion(page))
    options.zsh.write_text(zsh_completion(page))


if __name__ == "__main__":
    main()
