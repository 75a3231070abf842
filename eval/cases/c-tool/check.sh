set -e
make
make test
test "$(printf 'b a B c\nb' | ./wordfreq | head -n 2 | tr '\n' ,)" = "3 b,1 a,"
test "$(printf 'x y x z' | ./wordfreq -n 1)" = "2 x"
./wordfreq --help > /dev/null
if ./wordfreq --no-such-flag < /dev/null 2> /dev/null; then echo "wordfreq accepts --no-such-flag"; exit 1; fi
