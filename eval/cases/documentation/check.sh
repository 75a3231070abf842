set -e
export PYTHONDONTWRITEBYTECODE=1
python3 - <<'PY'
import re, sys

source = open("inventory/__main__.py").read()
commands = set(re.findall(r'add_parser\("([\w-]+)"', source))
flags = set(re.findall(r'add_argument\("(--[\w-]+)"', source))
documented = open("docs/commands.md").read()
missing = [one for one in sorted(commands | flags) if not re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", documented)]
unknown = sorted(set(re.findall(r"(?<![\w-])--[a-z][\w-]*", documented + open("README.md").read())) - flags - {"--help"})
for one in missing:
    print(f"docs/commands.md does not name {one} of inventory/__main__.py")
for one in unknown:
    print(f"README.md or docs/commands.md names {one}, which inventory/__main__.py does not have")
sys.exit(1 if missing or unknown else 0)
PY
here=$PWD
for page in README.md docs/commands.md; do
  mkdir -p "empty/$page"
  sed -n 's/^\$ \(python3 -m inventory.*\)/\1/p' "$page" > "empty/$page/session"
  echo "running the examples of $page"
  (cd "empty/$page" && PYTHONPATH=$here sh -e session)
done
test -s empty/README.md/session || { echo "README.md shows no session"; exit 1; }
