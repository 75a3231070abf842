set -e
export PYTHONDONTWRITEBYTECODE=1
python3 -m unittest discover -s tests -t .

# Each of these changes breaks a rule of the code, so the tests must fail.
must_fail() {
  cp -r ledger kept
  sed -i "$2" "ledger/$1"
  if cmp -s "ledger/$1" "kept/$1"; then echo "the change \"$2\" does not change ledger/$1"; exit 3; fi
  if python3 -m unittest discover -s tests -t . > /dev/null 2>&1; then
    echo "tests/ pass although ledger/$1 was changed: $2"
    exit 1
  fi
  rm -rf ledger
  mv kept ledger
}
must_fail account.py 's/cents <= 0/cents < 0/'
must_fail account.py 's/< -self.overdraft/<= -self.overdraft/'
must_fail account.py 's/overdraft < 0/overdraft < -1/'
must_fail account.py 's/self.balance -= cents/self.balance -= 1/'
must_fail transfer.py 's/FEE = 25/FEE = 26/'
must_fail transfer.py 's/if express/if not express/'
must_fail transfer.py 's/source is target/False/'
