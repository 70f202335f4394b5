#!/bin/sh
# Writes the King James text of Debian's bible-kjv packages as plain text, one verse a line: make_text.sh OUTPUT
set -eu
output=${1:?usage: make_text.sh OUTPUT}
if ! command -v bible >/dev/null 2>&1; then
  echo "make_text.sh: the command 'bible' is missing; apt-get install bible-kjv bible-kjv-text" >&2
  exit 1
fi
# -f switches pretty-printing off: "Ge1:1 In the beginning ...". Written aside first, so that a partial file never
# stands under the name.
bible -f gen1:1-rev22:21 </dev/null >"$output.tmp.$$" || { rm -f "$output.tmp.$$"; exit 1; }
sed 's/^[^ ]* //' "$output.tmp.$$" >"$output.tmp2.$$"
rm -f "$output.tmp.$$"
if [ "$(wc -l <"$output.tmp2.$$")" -lt 31000 ]; then
  rm -f "$output.tmp2.$$"
  echo "make_text.sh: 'bible' printed fewer than 31000 verses; reinstall bible-kjv-text" >&2
  exit 1
fi
mv "$output.tmp2.$$" "$output"
