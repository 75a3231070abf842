"""An account, with a limit for its overdraft."""


class InsufficientFunds(Exception):
    """The account would fall below its limit."""


class Account:
    def __init__(self, owner, overdraft=0):
        if overdraft < 0:
            raise ValueError("the overdraft must not be negative")
        self.owner = owner
        self.overdraft = overdraft
        self.balance = 0

    def deposit(self, cents):
        if cents <= 0:
            raise ValueError("a deposit must be positive")
        self.balance += cents

    def withdraw(self, cents):
        if cents <= 0:
            raise ValueError("a withdrawal must be positive")
        if self.balance - cents < -self.overdraft:
            raise InsufficientFunds(f"{self.owner} has {self.balance}, which is not enough for {cents}")
        self.balance -= cents
