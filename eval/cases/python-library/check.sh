set -e
export PYTHONDONTWRITEBYTECODE=1
python3 -m unittest discover -s tests -t .
python3 - <<'PY'
from intervals import IntervalSet, parse

a = IntervalSet([(7, 7), (1, 2), (3, 3), (9, 10)])
assert str(a) == "1-3,7,9-10", str(a)
assert parse(str(a)) == a and len(a) == 6 and 2 in a and 8 not in a
a.remove(2, 2)
assert list(a) == [1, 3, 7, 9, 10], list(a)
assert str(a.union(IntervalSet([(2, 2)]))) == "1-3,7,9-10"
try:
    parse("1-x")
except ValueError as error:
    assert "1-x" in str(error) or "x" in str(error)
else:
    raise AssertionError("parse accepts 1-x")
PY
test "$(python3 -m intervals union 1-2 3,9)" = "1-3,9"
test "$(python3 -m intervals intersection 1-5 4-9)" = "4-5"
